#include "kernels/cpu/kernels_of.h"
#include "kernels/cpu/portable.h"

namespace slora::cpu {

const Kernels& portable_kernels() { return kKernelsOf<Portable>; }

}  // namespace slora::cpu
