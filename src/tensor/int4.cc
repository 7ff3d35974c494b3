#include "tensor/int4.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace slora {
namespace {

constexpr float kTop = 15;
constexpr std::array<float, 6> kSpans = {1.0f, 0.94f, 0.88f, 0.82f, 0.76f, 0.7f};  // of the numbers' range
constexpr float kScaleMin = 0x1p-24f;                                              // of f16
constexpr float kMagic = 12582912.0f;                                              // 1.5 * 2^23: adding it rounds to an integer

float nearest_integer(float number) { return number + kMagic - kMagic; }

struct Trial {
  Int4Group group;
  float error = std::numeric_limits<float>::infinity();  // sum of squares
};

// Numbers to be rounded, and by what the squares of their errors are multiplied: as many.
struct Weighted {
  std::span<const float> numbers, squares;
};

// Rounds the numbers to the nearest levels of a scale and an offset, which become f16 first.
Trial round_with(const Weighted& weighted, float scale, float offset) {
  const std::span<const float> numbers = weighted.numbers;
  Trial trial;
  trial.group.scale = to_float16(scale);
  trial.group.offset = to_float16(offset);
  const float kept = to_float(trial.group.scale), start = to_float(trial.group.offset);
  const float inverse = kept < kScaleMin ? 0.0f : 1.0f / kept;
  trial.error = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const float place = (numbers[i] - start) * inverse;
    const float level = nearest_integer(place < 0 ? 0 : place > kTop ? kTop : place);
    trial.group.levels[i] = static_cast<std::uint8_t>(level);
    const float error = kept * level + start - numbers[i];
    trial.error += weighted.squares[i] * error * error;
  }
  return trial;
}

// The same levels with the scale and offset that fit them best, and the numbers rounded to these.
Trial refined(const Weighted& weighted, const Trial& trial) {
  const auto [numbers, squares] = weighted;
  float count = 0, level_sum = 0, sum = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    count += squares[i];
    level_sum += squares[i] * trial.group.levels[i];
    sum += squares[i] * numbers[i];
  }
  const float mean_level = level_sum / count, mean = sum / count;
  float spread = 0, products = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const float distance = trial.group.levels[i] - mean_level;
    spread += squares[i] * distance * distance;
    products += squares[i] * distance * (numbers[i] - mean);
  }
  const float scale = products / spread;
  if (!(spread > 0 && scale > 0)) return trial;
  return round_with(weighted, scale, mean - scale * mean_level);
}

// Between different numbers; infinity if they are all the same. Compares every two, in loops over vectors: that is faster than sorting.
float smallest_step(std::span<const float> numbers) {
  constexpr std::size_t kCount = kInt4Group;
  std::array<float, 2 * kCount> twice;  // one number again and again beyond the last
  twice.fill(numbers.front());
  std::ranges::copy(numbers, twice.begin());
  std::ranges::copy(numbers, twice.begin() + kCount);
  std::array<float, kCount> smallest;
  smallest.fill(std::numeric_limits<float>::infinity());
  for (std::size_t distance = 1; distance <= kCount / 2; ++distance) {
    for (std::size_t i = 0; i < kCount; ++i) {
      const float step = std::abs(twice[i] - twice[i + distance]);
      const float different = step > 0 ? step : std::numeric_limits<float>::infinity();
      smallest[i] = different < smallest[i] ? different : smallest[i];
    }
  }
  return *std::ranges::min_element(smallest);
}

// The group of this scale if its values are the numbers to the bit, with `end` at level `first`: the lowest number, or the highest if the
// scale is negative.
std::optional<Int4Group> equal_group(std::span<const float> numbers, Float16 scale, float end, float first) {
  const float kept = to_float(scale), inverse = 1 / kept;
  Int4Group group{.scale = scale, .offset = to_float16(end - first * kept), .levels = {}};
  const float start = to_float(group.offset);
  bool is_equal = true;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const float level = nearest_integer((numbers[i] - end) * inverse) + first;
    group.levels[i] = static_cast<std::uint8_t>(level);
    is_equal = is_equal && level <= kTop && kept * level + start == numbers[i];
  }
  return is_equal ? std::optional(group) : std::nullopt;
}

// Files in four bits have such numbers. The smallest step is a few levels, usually one; the lowest number need not be at level 0. Only the
// file's own scale, which Q4_0 may have negative, and its level of a number may have an offset that f16 represents.
std::optional<Int4Group> find_equal_group(std::span<const float> numbers, float low, float high, float step) {
  const float range = high - low;
  for (float levels = 1; range * levels <= (kTop + 0.5f) * step; ++levels) {
    const Float16 scale = to_float16(step / levels);
    if (to_float(scale) < kScaleMin) break;
    const float highest = nearest_integer(range / to_float(scale));
    for (float first = 0; first + highest <= kTop; ++first) {
      if (const std::optional<Int4Group> group = equal_group(numbers, scale, low, first)) return group;
      if (const std::optional<Int4Group> group = equal_group(numbers, to_float16(-to_float(scale)), high, first)) return group;
    }
  }
  return std::nullopt;
}

}  // namespace

Int4Group round_to_int4(std::span<const float> numbers, std::span<const float> squares) {
  static constexpr std::array<float, kInt4Group> kEqual = [] {
    std::array<float, kInt4Group> ones{};
    ones.fill(1);
    return ones;
  }();
  const Weighted weighted{numbers, squares.empty() ? std::span<const float>(kEqual).first(numbers.size()) : squares};
  float low = numbers.front(), high = numbers.front();
  bool is_in_range = true;
  for (const float number : numbers) {
    low = std::min(low, number);
    high = std::max(high, number);
    is_in_range = is_in_range && std::abs(number) <= kInt4NumberMax;
  }
  if (!is_in_range) return {.scale = {}, .offset = to_float16(std::numeric_limits<float>::quiet_NaN()), .levels = {}};
  const float range = high - low, step = smallest_step(numbers);
  Trial best = round_with(weighted, range / kTop, low);
  if (range > 0 && range <= (kTop + 0.5f) * step) {
    if (const std::optional<Int4Group> equal = find_equal_group(numbers, low, high, step)) return *equal;
    const Trial trial = refined(weighted, round_with(weighted, range / nearest_integer(range / step), low));  // nearly on fewer levels
    if (trial.error < best.error) best = trial;
  }
  for (const float span : kSpans) {
    const Trial first = refined(weighted, round_with(weighted, range * span / kTop, low + range * (1 - span) / 2));
    const Trial second = refined(weighted, first);
    const Trial& trial = second.error < first.error ? second : first;
    if (trial.error < best.error) best = trial;
  }
  return best.group;
}

}  // namespace slora
