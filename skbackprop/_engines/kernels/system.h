/* What every file needs and operating systems have in different ways. */
#ifndef SKB_SYSTEM_H
#define SKB_SYSTEM_H
#include <stddef.h>

typedef ptrdiff_t Int; /* counts rows and numbers, whatever fits the memory; `long` has but 32 bits on Windows */

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

double now(void); /* seconds, since whenever */

/* Zeros. Large ones on large pages, for rows far apart cost one look-up of an address each. NULL: out of memory. */
void *zeros(size_t size);
void release(void *zeros);

/* Floating-point mode of the calling thread: denormals count as zero, until it is restored. */
unsigned long long flush_denormals(void);
void restore_mode(unsigned long long mode);
#endif
