#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace slora {

// Numbers in four bits: a group of 32 has a scale and an offset in f16, and each number a level from 0 to 15. Its value is scale * level +
// offset, in fp32. What llama.cpp's Q4_0 and Q4_1 keep is of this form without rounding it again.
inline constexpr std::int64_t kInt4Group = 32;
inline constexpr float kInt4NumberMax = 65504;  // the largest f16

struct Int4Group {
  Float16 scale{};
  Float16 offset{};
  std::array<std::uint8_t, kInt4Group> levels{};

  [[nodiscard]] float value(std::size_t index) const { return to_float(scale) * static_cast<float>(levels[index]) + to_float(offset); }
  // Whether its values are these numbers. Requires: at most kInt4Group.
  [[nodiscard]] bool has(std::span<const float> numbers) const {
    std::size_t index = 0;
    return std::ranges::all_of(numbers, [&](float number) { return value(index++) == number; });
  }
};

// Numbers that a group has to the bit are kept so, whatever file they are from. Else the nearest of some groups tried: the levels span all
// numbers or a little less, scale and offset then fit the levels by least squares. With NaN, infinity or numbers beyond f16 the values are
// not finite. `squares`, as many or none: by what each number's squared error is multiplied; they are above 0. Requires: 1 to kInt4Group
// numbers; further levels are 0.
[[nodiscard]] Int4Group round_to_int4(std::span<const float> numbers, std::span<const float> squares = {});

}  // namespace slora
