#include "kernels/cpu/avx2_vnni_int4.h"
#include "kernels/cpu/kernels_of.h"

namespace slora::cpu {

const Kernels& avx2_vnni_kernels() { return kKernelsOf<Avx2Vnni>; }

}  // namespace slora::cpu
