#include "kernels/cpu/avx512_int4.h"
#include "kernels/cpu/kernels_of.h"

namespace slora::cpu {

const Kernels& avx512_kernels() { return kKernelsOf<Avx512>; }

}  // namespace slora::cpu
