#include "kernels/cpu/avx512f_int4.h"
#include "kernels/cpu/kernels_of.h"

namespace slora::cpu {

const Kernels& avx512f_kernels() { return kKernelsOf<Avx512F>; }

}  // namespace slora::cpu
