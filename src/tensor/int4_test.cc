#include "tensor/int4.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace slora {
namespace {

double error_of(const std::vector<float>& numbers, const Int4Group& group) {
  double sum = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) sum += std::pow(group.value(i) - numbers[i], 2);
  return std::sqrt(sum / static_cast<double>(numbers.size()));
}

TEST(Int4, KeepsNumbersOnSixteenLevels) {
  std::mt19937_64 random(3);
  for (int run = 0; run < 200; ++run) {
    const float scale = to_float(to_float16(std::uniform_real_distribution<float>(0.001f, 0.1f)(random)));
    const float offset = -8 * scale;
    std::vector<float> numbers(kInt4Group);
    for (float& number : numbers) number = scale * static_cast<float>(random() % 16) + offset;
    numbers[3] = offset;
    numbers[17] = 15 * scale + offset;
    const Int4Group group = round_to_int4(numbers);
    for (std::size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(group.value(i), numbers[i]);
  }
}

// As files have them: neither the lowest nor the highest level has to occur, nor neighbours of a level.
TEST(Int4, KeepsNumbersOfFilesToTheBit) {
  std::mt19937_64 random(7);
  const auto below = [&](std::uint64_t count) { return static_cast<std::uint8_t>(random() % count); };
  for (int run = 0; run < 3000; ++run) {
    Int4Group stored;
    const float magnitude = std::exp2(std::uniform_real_distribution<float>(-18, 3)(random));
    stored.scale = to_float16(run % 4 < 2 ? magnitude : -magnitude);  // Q4_0 has both
    const float scale = to_float(stored.scale);
    const bool is_symmetric = run % 2 == 0;  // Q4_0, else Q4_1
    stored.offset = to_float16(is_symmetric ? -8 * scale : scale * std::normal_distribution<float>(-8, 5)(random));
    const std::uint8_t first = below(12), count = static_cast<std::uint8_t>(1 + below(16u - first)), stride = run % 5 == 0 ? 2 : 1;
    std::vector<float> numbers(1 + below(kInt4Group));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      stored.levels[i] = static_cast<std::uint8_t>(first + below(count) / stride * stride);
      numbers[i] = stored.value(i);
    }
    const Int4Group group = round_to_int4(numbers);
    const bool is_one = std::ranges::minmax(numbers).min == std::ranges::minmax(numbers).max;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (is_one) {
        EXPECT_NEAR(group.value(i), numbers[i], std::abs(numbers[i]) * 0x1p-11f);
      } else {
        EXPECT_EQ(group.value(i), numbers[i]) << "run " << run << ", scale " << scale << ", offset " << to_float(stored.offset);
      }
    }
  }
}

// Programs that compute in f16 round (level - zero) * scale to it; of Q4_K, scale and offset are products that f16 does not represent. Of
// at most 15 scales, int4 then rounds scale and offset to f16.
TEST(Int4, FindsLevelsThatWereRoundedAgain) {
  std::mt19937_64 random(9);
  for (int run = 0; run < 500; ++run) {
    const bool is_product = run % 2 == 0;
    const float factor = to_float(to_float16(std::uniform_real_distribution<float>(0.001f, 0.1f)(random)));
    const float scale = is_product ? factor * static_cast<float>(33 + random() % 31) : factor;
    const int zero = static_cast<int>(random() % 16), count = static_cast<int>(8 + random() % 9);
    std::vector<float> numbers(kInt4Group);
    for (float& number : numbers) {
      number = scale * static_cast<float>(static_cast<int>(random() % 16) % count - zero);
      if (!is_product) number = to_float(to_float16(number));
    }
    EXPECT_LT(error_of(numbers, round_to_int4(numbers)), 2 * 0x1p-11 * 15 * scale) << "run " << run;
  }
}

TEST(Int4, ErrsLessThanLevelsBetweenTheOutermostNumbersDo) {
  std::mt19937_64 random(5);
  double own = 0, plain = 0;
  for (int run = 0; run < 200; ++run) {
    std::vector<float> numbers(kInt4Group);
    for (float& number : numbers) number = std::normal_distribution<float>(0.01f, 0.02f)(random);
    const auto [low, high] = std::ranges::minmax(numbers);
    own += error_of(numbers, round_to_int4(numbers));
    plain += (high - low) / 15 / std::sqrt(12.0);
  }
  EXPECT_LT(own, 0.97 * plain);
}

TEST(Int4, TakesAnyNumbers) {
  const std::vector<float> same(7, 0.25f);
  EXPECT_EQ(error_of(same, round_to_int4(same)), 0);
  const std::vector<float> zeros(kInt4Group, 0.0f);
  EXPECT_EQ(error_of(zeros, round_to_int4(zeros)), 0);
  const std::vector<float> one{-3.0f};
  EXPECT_EQ(round_to_int4(one).value(0), -3.0f);
  for (const float bad : {NAN, INFINITY, -INFINITY, 1e30f}) {
    const std::vector<float> numbers{0.5f, bad, 0.25f};
    const Int4Group group = round_to_int4(numbers);
    EXPECT_FALSE(std::isfinite(group.value(0))) << bad;
  }
}

// One input of the group is a thousand times as large as the others.
TEST(Int4, ErrsLeastWhereErrorsCountMost) {
  std::mt19937_64 random(11);
  double plain = 0, weighted = 0;
  for (int run = 0; run < 200; ++run) {
    std::vector<float> numbers(kInt4Group), squares(kInt4Group, 1.0f);
    for (float& number : numbers) number = std::normal_distribution<float>(0.0f, 0.02f)(random);
    const std::size_t large = random() % kInt4Group;
    squares[large] = 1e6f;
    const auto error = [&](const Int4Group& group) {
      double sum = 0;
      for (std::size_t i = 0; i < numbers.size(); ++i) sum += squares[i] * std::pow(group.value(i) - numbers[i], 2);
      return sum;
    };
    const Int4Group without = round_to_int4(numbers);
    plain += error(without);
    weighted += error(round_to_int4(numbers, squares));
    const std::vector<float> equal(kInt4Group, 1.0f);
    EXPECT_EQ(round_to_int4(numbers, equal).levels, without.levels);
  }
  EXPECT_LT(weighted, 0.1 * plain);
}

}  // namespace
}  // namespace slora
