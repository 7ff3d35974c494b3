#include "kernels/cpu/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <utility>

namespace slora::cpu {
namespace {

#if defined(__x86_64__)
bool has_avx512f() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq");
}
bool has_avx512_vnni() { return has_avx512f() && __builtin_cpu_supports("avx512vnni"); }
bool has_avx512_bf16() { return has_avx512_vnni() && __builtin_cpu_supports("avx512bf16"); }
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

// On Intel's processors a VDPBF16PS, two products in each lane, takes as long as four VFMADD, which do one each (a Xeon of model 207: 168
// GFLOP/s against 334); on AMD's as long as one.
bool multiplies_bf16_slowly() { return __builtin_cpu_is("intel"); }
#endif

}  // namespace

// Compilers of this age can't ask for it: CPUID, leaf 7, sub-leaf 1, EAX bit 4.
bool has_avx_vnni() {
#if defined(__x86_64__)
  constexpr unsigned kLeaf = 7, kSubleaf = 1, kAvxVnni = 1u << 4;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return has_avx2() && __get_cpuid_count(kLeaf, kSubleaf, &eax, &ebx, &ecx, &edx) != 0 && (eax & kAvxVnni) != 0;
#else
  return false;
#endif
}

std::vector<const Kernels*> usable_kernels() {
  std::vector<const Kernels*> usable;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (has_avx512_bf16()) usable.push_back(&avx512_kernels());
  if (has_avx512_vnni()) usable.push_back(&avx512_vnni_kernels());
  if (usable.size() == 2 && multiplies_bf16_slowly()) std::swap(usable[0], usable[1]);
  if (has_avx512f()) usable.push_back(&avx512f_kernels());
  if (has_avx_vnni()) usable.push_back(&avx2_vnni_kernels());
  if (has_avx2()) usable.push_back(&avx2_kernels());
#elif defined(__aarch64__)
  usable.push_back(&neon_kernels());
#endif
  usable.push_back(&portable_kernels());
  return usable;
}

}  // namespace slora::cpu
