#include "kernels/cpu/kernels_of.h"
#include "kernels/cpu/neon.h"

namespace slora::cpu {

const Kernels& neon_kernels() { return kKernelsOf<Neon>; }

}  // namespace slora::cpu
