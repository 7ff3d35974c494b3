#pragma once
#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// Requires: a machine with AVX-512 F, BW, VL, DQ, BF16 and VNNI.
[[nodiscard]] const Kernels& avx512_kernels();
// Requires: a machine with AVX-512 F, BW, VL and DQ.
[[nodiscard]] const Kernels& avx512f_kernels();
// Requires: a machine with AVX2 and FMA.
[[nodiscard]] const Kernels& avx2_kernels();

}  // namespace slora::cpu
