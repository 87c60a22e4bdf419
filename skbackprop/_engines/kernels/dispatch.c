/* Which levels this build holds, and which the CPU can run. */
#include "formats.h"
#include "kernels.h"
#include <string.h>

#ifdef SKB_X86
#define LEVELS(ROW) ROW(v4) ROW(v3) ROW(baseline)
#ifdef _WIN32
#include <cpuid.h>

/* What __builtin_cpu_supports would say: it needs a library that Microsoft's linker does not know. The operating system
   must keep the wide registers too (bits of xcr0). */
static int runs_x86_64(int version) {
  unsigned a, b, c, d, b7, c7, d7, xcr0, high;
  const unsigned fma_osxsave = 1u << 12 | 1u << 27, avx2_bmi2 = 1u << 5 | 1u << 8,
                 f_dq_cd_bw_vl = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & fma_osxsave) != fma_osxsave) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 0;
  __asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
  if ((xcr0 & 0x06) != 0x06 || (b7 & avx2_bmi2) != avx2_bmi2) return 0;
  return version == 3 || ((xcr0 & 0xe6) == 0xe6 && (b7 & f_dq_cd_bw_vl) == f_dq_cd_bw_vl);
}
#else
static int runs_x86_64(int version) {
  __builtin_cpu_init();
  int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (version == 3) return v3;
  return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif
#else
#define LEVELS(ROW) ROW(baseline)
#endif

int skb_supported(const char *level) {
  if (strcmp(level, "baseline") == 0) return 1;
#ifdef SKB_X86
  if (strcmp(level, "v3") == 0) return runs_x86_64(3);
  if (strcmp(level, "v4") == 0) return runs_x86_64(4);
#endif
  return 0;
}

const char *const skb_levels[] = {LEVELS(ROW_NAME) NULL};

#define DECLARE(level, format) extern const Kernels skb_##level##_##format;
#define DECLARE_ALL(level) FORMATS(DECLARE, level)
LEVELS(DECLARE_ALL)

const Kernels *skb_kernels(const char *level, const char *format) {
#define FIND(l, f) if (strcmp(level, #l) == 0 && strcmp(format, #f) == 0) return &skb_##l##_##f;
#define FIND_ALL(l) FORMATS(FIND, l)
  LEVELS(FIND_ALL)
  return NULL;
}
