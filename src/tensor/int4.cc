#include "tensor/int4.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace slora {
namespace {

constexpr float kTop = 15;
constexpr std::array<float, 4> kSpans = {1.0f, 0.94f, 0.88f, 0.82f};  // of the numbers' range
constexpr float kScaleMin = 0x1p-24f;                                 // of f16
constexpr float kNumberMax = 65504;                                   // of f16
constexpr float kMagic = 12582912.0f;                                 // 1.5 * 2^23: adding it rounds to an integer

struct Trial {
  Int4Group group;
  float error = std::numeric_limits<float>::infinity();  // sum of squares
};

// Rounds the numbers to the nearest levels of a scale and an offset, which become f16 first.
Trial round_with(std::span<const float> numbers, float scale, float offset) {
  Trial trial;
  trial.group.scale = to_float16(scale);
  trial.group.offset = to_float16(offset);
  const float kept = to_float(trial.group.scale), start = to_float(trial.group.offset);
  const float inverse = kept < kScaleMin ? 0.0f : 1.0f / kept;
  trial.error = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const float place = (numbers[i] - start) * inverse;
    const float level = (place < 0 ? 0 : place > kTop ? kTop : place) + kMagic - kMagic;
    trial.group.levels[i] = static_cast<std::uint8_t>(level);
    const float error = kept * level + start - numbers[i];
    trial.error += error * error;
  }
  return trial;
}

// The same levels with the scale and offset that fit them best, and the numbers rounded to these.
Trial refined(std::span<const float> numbers, const Trial& trial) {
  float levels = 0, squares = 0, sum = 0, products = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const float level = trial.group.levels[i];
    levels += level;
    squares += level * level;
    sum += numbers[i];
    products += level * numbers[i];
  }
  const auto count = static_cast<float>(numbers.size());
  const float spread = count * squares - levels * levels;
  if (spread <= 0) return trial;
  const float scale = (count * products - levels * sum) / spread;
  if (!(scale > 0)) return trial;
  return round_with(numbers, scale, (sum - scale * levels) / count);
}

}  // namespace

Int4Group round_to_int4(std::span<const float> numbers) {
  float low = numbers.front(), high = numbers.front();
  bool is_in_range = true;
  for (const float number : numbers) {
    low = std::min(low, number);
    high = std::max(high, number);
    is_in_range = is_in_range && std::abs(number) <= kNumberMax;
  }
  if (!is_in_range) return {.scale = {}, .offset = to_float16(std::numeric_limits<float>::quiet_NaN()), .levels = {}};
  Trial best = round_with(numbers, (high - low) / kTop, low);
  for (const float span : kSpans) {
    const float rest = (high - low) * (1 - span) / 2;
    const Trial trial = refined(numbers, round_with(numbers, (high - low) * span / kTop, low + rest));
    if (trial.error < best.error) best = trial;
  }
  return best.group;
}

}  // namespace slora
