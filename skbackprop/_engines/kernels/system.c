#include "system.h"
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <malloc.h>
#else
#include <time.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

double now(void) {
#ifdef _WIN32
  LARGE_INTEGER ticks, rate;
  QueryPerformanceCounter(&ticks);
  QueryPerformanceFrequency(&rate);
  return (double)ticks.QuadPart / (double)rate.QuadPart;
#else
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
#endif
}

enum { HUGE_PAGE = 2 * 1024 * 1024, CACHE_LINE = 64 };

void *zeros(size_t size) {
  void *p = NULL;
  size_t unit = size < HUGE_PAGE / 2 ? CACHE_LINE : HUGE_PAGE;
  size = (size + unit - 1) / unit * unit;
#ifdef _WIN32
  p = _aligned_malloc(size, unit);
  if (!p) return NULL;
#else
  if (posix_memalign(&p, unit, size)) return NULL;
#endif
#ifdef MADV_HUGEPAGE
  if (unit == HUGE_PAGE) madvise(p, size, MADV_HUGEPAGE);
#endif
  return memset(p, 0, size);
}

void release(void *p) {
#ifdef _WIN32
  _aligned_free(p);
#else
  free(p);
#endif
}

unsigned long long flush_denormals(void) {
#if defined(__x86_64__)
  unsigned int mode = _mm_getcsr();
  _mm_setcsr(mode | 0x8040); /* FTZ and DAZ */
  return mode;
#elif defined(__aarch64__)
  unsigned long long mode; /* 64 bits, as the register, on Windows too */
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  __asm__ volatile("msr fpcr, %0" ::"r"(mode | (1ull << 24)));
  return mode;
#else
  return 0;
#endif
}

void restore_mode(unsigned long long mode) {
#if defined(__x86_64__)
  _mm_setcsr((unsigned int)mode);
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" ::"r"(mode));
#else
  (void)mode;
#endif
}
