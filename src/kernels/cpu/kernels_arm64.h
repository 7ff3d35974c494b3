#pragma once
#include "kernels/cpu/kernels.h"

namespace slora::cpu {

[[nodiscard]] const Kernels& neon_kernels();

}  // namespace slora::cpu
