#pragma once
#include <cstddef>
#include <optional>

#include "tensor/dtype.h"

namespace slora {

// The index of the first of `count` elements of a float dtype (f32, f16 or bf16) at `source` that is NaN, infinite, or infinite once it is
// rounded to bf16; nothing if there is none.
[[nodiscard]] std::optional<std::size_t> first_not_finite(const void* source, DType dtype, std::size_t count);

}  // namespace slora
