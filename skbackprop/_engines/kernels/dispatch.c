/* The instruction-set levels of this build, and which of them the CPU supports. */
#include "formats.h"
#include "kernels.h"
#include <string.h>

#ifdef SKB_X86
#ifdef SKB_AMX
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#define AMX_LEVEL(ROW) ROW(amx)

/* Whether the CPU has tiles, and the operating system saves those of threads. */
static int has_amx(void) {
  enum { GET_SUPPORTED = 0x1021, TILE_DATA = 18 };
  const unsigned tile_and_bf16 = 1u << 24 | 1u << 22, avx512_bf16 = 1u << 5;
  unsigned a, b, c, d, a1;
  uint64_t kept = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & tile_and_bf16) != tile_and_bf16) return 0;
  if (!__get_cpuid_count(7, 1, &a1, &b, &c, &d) || !(a1 & avx512_bf16)) return 0;
  return syscall(SYS_arch_prctl, GET_SUPPORTED, &kept) == 0 && kept >> TILE_DATA & 1;
}

int skb_ask_for_tiles(void) {
  enum { ASK = 0x1023, TILE_DATA = 18 };
  return has_amx() && syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
}
#else
#define AMX_LEVEL(ROW)
int skb_ask_for_tiles(void) { return 0; }
#endif
#define LEVELS(ROW) AMX_LEVEL(ROW) FULL_LEVELS(ROW)
#define FULL_LEVELS(ROW) ROW(v4) ROW(v3) ROW(baseline)
#ifdef _WIN32
#include <cpuid.h>

/* In place of __builtin_cpu_supports, which needs a library that Microsoft's linker does not find. The operating system
   must save the wide registers too (bits of xcr0). */
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
#define AMX_LEVEL(ROW)
#define LEVELS(ROW) ROW(baseline)
#define FULL_LEVELS(ROW) LEVELS(ROW)
int skb_ask_for_tiles(void) { return 0; }
#endif

int skb_supported(const char *level) {
  if (strcmp(level, "baseline") == 0) return 1;
#ifdef SKB_X86
  if (strcmp(level, "v3") == 0) return runs_x86_64(3);
  if (strcmp(level, "v4") == 0) return runs_x86_64(4);
#endif
#ifdef SKB_AMX
  if (strcmp(level, "amx") == 0) return runs_x86_64(4) && has_amx();
#endif
  return 0;
}

const char *const skb_levels[] = {LEVELS(ROW_NAME) NULL};

#define DECLARE(level, format) extern const Kernels skb_##level##_##format;
#define DECLARE_ALL(level) FORMATS(DECLARE, level)
#define DECLARE_TILED(level) DECLARE(level, bfloat16)
FULL_LEVELS(DECLARE_ALL)
AMX_LEVEL(DECLARE_TILED)

const Kernels *skb_kernels(const char *level, const char *format) {
#define FIND(l, f) if (strcmp(level, #l) == 0 && strcmp(format, #f) == 0) return &skb_##l##_##f;
#define FIND_ALL(l) FORMATS(FIND, l)
#define FIND_TILED(l) FIND(l, bfloat16)
  AMX_LEVEL(FIND_TILED)
  if (strcmp(level, "amx") == 0) level = "v4"; /* formats without tiles use the kernels of v4 */
  FULL_LEVELS(FIND_ALL)
  return NULL;
}
