/* Functions that depend on the operating system or the CPU. */
#ifndef SKB_SYSTEM_H
#define SKB_SYSTEM_H
#include <stddef.h>

typedef ptrdiff_t Int; /* indices and sizes in memory; `long` has only 32 bits on Windows */

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

double now(void); /* seconds of a monotonic clock */

/* Zeroed memory; large arrays on huge pages, against TLB misses of rows far apart. NULL: out of memory. */
void *zeros(size_t size);
void release(void *zeros);

/* Treat denormals as zero in the calling thread, until the returned mode is restored. */
unsigned long long flush_denormals(void);
void restore_mode(unsigned long long mode);
#endif
