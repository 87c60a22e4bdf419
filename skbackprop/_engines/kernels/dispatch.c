/* Which levels this build holds, and which the CPU can run. */
#include "kernels.h"
#include <string.h>

extern const Kernels skb_baseline_32, skb_baseline_64;
#ifdef SKB_X86
extern const Kernels skb_v3_32, skb_v3_64, skb_v4_32, skb_v4_64;
#endif

int skb_supported(const char *level) {
  if (strcmp(level, "baseline") == 0) return 1;
#ifdef SKB_X86
  __builtin_cpu_init();
  int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (strcmp(level, "v3") == 0) return v3;
  if (strcmp(level, "v4") == 0)
    return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  return 0;
}

const Kernels *skb_kernels(const char *level, int bits) {
  if (strcmp(level, "baseline") == 0) return bits == 32 ? &skb_baseline_32 : &skb_baseline_64;
#ifdef SKB_X86
  if (strcmp(level, "v3") == 0) return bits == 32 ? &skb_v3_32 : &skb_v3_64;
  if (strcmp(level, "v4") == 0) return bits == 32 ? &skb_v4_32 : &skb_v4_64;
#endif
  return 0;
}
