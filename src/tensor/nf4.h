#pragma once
#include <cstdint>
#include <span>

namespace slora {

// NF4 of QLoRA (arXiv 2305.14314) as bitsandbytes stores it: each block of numbers has the largest magnitude of them in fp32, and each
// number one of 16 fractions of that.
inline constexpr std::int64_t kNf4BlockElements = 64;

// The fractions, the lowest first.
[[nodiscard]] std::span<const float, 16> nf4_fractions();

// Each number becomes what NF4 keeps of it, as bitsandbytes has it after quantize_4bit and dequantize_4bit, to the bit. Blocks follow each
// other from the first number on; the last may be shorter. Requires: finite numbers.
void round_to_nf4(std::span<float> numbers);

}  // namespace slora
