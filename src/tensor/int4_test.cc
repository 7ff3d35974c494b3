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

}  // namespace
}  // namespace slora
