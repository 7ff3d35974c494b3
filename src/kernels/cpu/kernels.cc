#include "kernels/cpu/kernels.h"

namespace slora::cpu {
namespace {

#if defined(__x86_64__)
bool has_avx512f() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq");
}
bool has_avx512_bf16() { return has_avx512f() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni"); }
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

}  // namespace

std::vector<const Kernels*> usable_kernels() {
  std::vector<const Kernels*> usable;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (has_avx512_bf16()) usable.push_back(&avx512_kernels());
  if (has_avx512f()) usable.push_back(&avx512f_kernels());
  if (has_avx2()) usable.push_back(&avx2_kernels());
#elif defined(__aarch64__)
  usable.push_back(&neon_kernels());
#endif
  usable.push_back(&portable_kernels());
  return usable;
}

}  // namespace slora::cpu
