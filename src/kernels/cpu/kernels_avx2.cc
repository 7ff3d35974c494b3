#include "kernels/cpu/avx2.h"
#include "kernels/cpu/kernels_of.h"

namespace slora::cpu {

const Kernels& avx2_kernels() { return kKernelsOf<Avx2>; }

}  // namespace slora::cpu
