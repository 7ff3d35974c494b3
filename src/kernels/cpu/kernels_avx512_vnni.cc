#include "kernels/cpu/avx512_vnni_int4.h"
#include "kernels/cpu/kernels_of.h"

namespace slora::cpu {

const Kernels& avx512_vnni_kernels() { return kKernelsOf<Avx512Vnni>; }

}  // namespace slora::cpu
