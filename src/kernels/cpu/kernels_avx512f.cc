#include "kernels/cpu/avx512f.h"
#include "kernels/cpu/kernels_of.h"

namespace slora::cpu {

const Kernels& avx512f_kernels() { return kKernelsOf<Avx512F>; }

}  // namespace slora::cpu
