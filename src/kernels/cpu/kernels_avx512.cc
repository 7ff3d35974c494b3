#include "kernels/cpu/avx512.h"
#include "kernels/cpu/kernels_of.h"
#include "kernels/cpu/kernels_x86.h"

namespace slora::cpu {

const Kernels& avx512_kernels() { return kKernelsOf<Avx512>; }

}  // namespace slora::cpu
