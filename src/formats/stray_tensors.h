#pragma once
#include <cstdint>
#include <string_view>

#include "tensor/dtype.h"

namespace slora {

// What a tensor of a model's files is that has no place in the architecture.
enum class StrayTensor : std::uint8_t {
  derived,  // a buffer that the config determines, as old checkpoints store it: left out
  unused,   // nothing that the network computes with: left out with a warning, as transformers does
  foreign,  // a part of another architecture: serving without it would give other answers
};

[[nodiscard]] StrayTensor stray_tensor(std::string_view name, DType dtype);

}  // namespace slora
