#pragma once
#include <cstdint>

namespace slora {

// The function of a gated MLP: out = activation(gate) * up.
enum class Activation : std::uint8_t { silu, gelu_tanh };

}  // namespace slora
