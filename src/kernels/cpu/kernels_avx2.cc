#include "kernels/cpu/avx2_int4.h"
#include "kernels/cpu/kernels_of.h"

namespace slora::cpu {

const Kernels& avx2_kernels() { return kKernelsOf<Avx2>; }

}  // namespace slora::cpu
