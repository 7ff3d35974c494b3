#include "engine/pooled_prompt.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace slora {
namespace {

constexpr std::int64_t kTokens = 37, kHidden = 5;

struct Rows {
  std::array<float, kTokens * kHidden> numbers{};

  Rows() {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (float& number : numbers) number = normal(random);
  }
  [[nodiscard]] Tensor span(std::int64_t begin, std::int64_t count) {
    return Tensor{reinterpret_cast<std::byte*>(numbers.data()), DType::f32, kTokens, kHidden, kHidden}.rows_from(begin, count);
  }
};

TEST(PooledPrompt, HasTheSameBitsHoweverThePromptIsCut) {
  Rows rows;
  PooledPrompt whole;
  whole.add(Pooling::mean, 0, rows.span(0, kTokens));
  const std::vector<float> expected = whole.take();
  for (std::int64_t cut = 1; cut < kTokens; ++cut) {
    PooledPrompt parts;
    parts.add(Pooling::mean, 0, rows.span(0, cut));
    parts.add(Pooling::mean, static_cast<std::int32_t>(cut), rows.span(cut, kTokens - cut));
    EXPECT_EQ(parts.take(), expected) << cut;
  }
  double sum = 0;
  for (std::int64_t row = 0; row < kTokens; ++row) sum += static_cast<double>(rows.numbers[static_cast<std::size_t>(row * kHidden + 2)]);
  EXPECT_FLOAT_EQ(expected[2], static_cast<float>(sum / kTokens));
}

TEST(PooledPrompt, CountsNoPositionTwiceAfterAPreemption) {
  Rows rows;
  PooledPrompt whole, again;
  whole.add(Pooling::mean, 0, rows.span(0, kTokens));
  again.add(Pooling::mean, 0, rows.span(0, 20));
  again.add(Pooling::mean, 0, rows.span(0, 8));
  again.add(Pooling::mean, 8, rows.span(8, 22));
  again.add(Pooling::mean, 30, rows.span(30, 7));
  EXPECT_EQ(again.take(), whole.take());
}

TEST(PooledPrompt, TakesTheLastRow) {
  Rows rows;
  PooledPrompt last;
  last.add(Pooling::last, 4, rows.span(4, 10));
  last.add(Pooling::last, 14, rows.span(14, kTokens - 14));
  const auto begin = rows.numbers.end() - kHidden;
  EXPECT_EQ(last.take(), std::vector<float>(begin, rows.numbers.end()));
}

}  // namespace
}  // namespace slora
