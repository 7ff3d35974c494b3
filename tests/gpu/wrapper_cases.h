#pragma once
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "wrappers.h"

namespace slora::cuda {

// Random input of a wrapper. [in_words]
[[nodiscard]] std::vector<std::uint32_t> draw_input(const Wrapper& wrapper, std::mt19937_64& random);

// How far a word is from the expected one, in units of what the function may differ by: at most 1 is right. Most functions give equal bits
// (0, or infinity where they don't); those that round otherwise than the host's are allowed what the PTX manual allows.
[[nodiscard]] double difference(std::string_view wrapper, std::uint32_t found, std::uint32_t expected);

}  // namespace slora::cuda
