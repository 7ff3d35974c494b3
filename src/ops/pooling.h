#pragma once
#include <cstdint>

namespace slora {

// Which hidden states of a prompt make its embedding: none, it has no embedding; that of the last token; or the mean of all.
enum class Pooling : std::uint8_t { none, last, mean };

}  // namespace slora
