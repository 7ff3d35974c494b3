#include "kernels/cpu/avx2.h"
#include "kernels/cpu/kernels_of.h"
#include "kernels/cpu/kernels_x86.h"

namespace slora::cpu {

const Kernels& avx2_kernels() { return kKernelsOf<Avx2>; }

}  // namespace slora::cpu
