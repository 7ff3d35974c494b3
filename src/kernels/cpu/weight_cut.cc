#include "kernels/cpu/weight_cut.h"

#include <array>
#include <cstddef>

#include "kernels/cpu/simd.h"

namespace slora::cpu {

// Samples 16 of every 2,048 weights into a histogram whose buckets are an eighth of an octave wide. Light tokens are many and well sampled,
// so it walks up from the lightest until the part beyond the target is left out.
CutGuess guess_cut(std::span<const float> weights, std::uint32_t floor, double target, double total, Measure measure, std::int64_t few) {
  constexpr std::uint32_t kBucketBits = 20;
  constexpr std::uint32_t kBuckets = 256;
  constexpr std::uint32_t kTopBucket = std::bit_cast<std::uint32_t>(1.0f) >> kBucketBits;
  constexpr std::size_t kStride = 128;
  std::array<double, kBuckets> sums{};
  std::array<std::int32_t, kBuckets> counts{};
  std::int32_t sampled = 0;
  for (std::size_t begin = 0; begin + kLanes <= weights.size(); begin += kStride * kLanes) {
    for (const float weight : weights.subspan(begin, kLanes)) {
      const std::uint32_t bits = bits_of_weight(weight);
      if (bits < floor) continue;
      const std::uint32_t bucket = std::min(kTopBucket - (bits >> kBucketBits), kBuckets - 1);
      sums[bucket] += static_cast<double>(weight);
      ++counts[bucket];
      ++sampled;
    }
  }
  const bool by_weight = measure == Measure::weight;
  const double left_out = by_weight ? total - target : static_cast<double>(sampled * kStride) - target;
  std::uint32_t first = kBuckets;
  for (double lighter = 0; first > 0 && lighter <= left_out;) {
    --first;
    lighter += static_cast<double>(kStride) * (by_weight ? sums[first] : counts[first]);
  }
  std::uint32_t end = std::min(first + 2, kBuckets);
  first -= std::min(first, 1u);
  std::int32_t around = 0;
  for (std::uint32_t bucket = first; bucket < end; ++bucket) around += counts[bucket];
  const auto around_max = static_cast<std::int32_t>(few / static_cast<std::int64_t>(4 * kStride));
  while (first > 0 && around + counts[first - 1] <= around_max) around += counts[--first];
  while (end < kBuckets && around + counts[end] <= around_max) around += counts[end++];
  const std::uint32_t low = end == kBuckets ? floor : std::max(floor, (kTopBucket - end + 1) << kBucketBits);
  return {{low, std::max(low + 1, (kTopBucket - first + 1) << kBucketBits)}, around <= 2 * around_max};
}

}  // namespace slora::cpu
