#include "kernels/cpu/kernels.h"

#if defined(__x86_64__)
#include "kernels/cpu/kernels_avx512.h"
#endif

namespace slora::cpu {

const Kernels& best_kernels() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bf16");
  if (avx512) return avx512_kernels();
#endif
  return portable_kernels();
}

}  // namespace slora::cpu
