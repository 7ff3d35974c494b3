#include "kernels/cuda/testing/token_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace slora::cuda {

LogitsShape draw_logits_shape(KernelCase& kernel_case) {
  constexpr std::int32_t kFarRows = 5;
  LogitsShape shape{.place = draw_rows(kernel_case), .rows = kFarRows, .row_count = kFarRows, .vocab = kernel_case.pick({1, 31, 97})};
  if (shape.place == Rows::far) return shape;
  shape.rows = kernel_case.draw(1, 6);
  shape.row_count = kernel_case.draw(0, shape.rows);
  shape.vocab = kernel_case.pick({1, 31, 97, 512, 512, 513, 1500, 1500});
  return shape;
}

std::vector<float> draw_logits(KernelCase& kernel_case, std::int32_t rows, std::int32_t vocab) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> logits;
  for (std::int32_t row = 0; row < rows; ++row) {
    const float scale = kernel_case.pick({0.0f, 0.25f, 1.0f, 8.0f});  // 0: all equal, zeros of either sign
    const float shift = kernel_case.pick({0.0f, 0.0f, -30.0f, 50.0f});
    const std::int32_t steps = kernel_case.pick({4, 64, 4096});
    const bool is_plain = kernel_case.one_in(2);
    for (std::int32_t token = 0; token < vocab; ++token) {
      float logit = scale * static_cast<float>(kernel_case.draw(-steps, steps)) / static_cast<float>(steps);
      if (shift != 0) logit += shift;  // -0 + 0 is 0
      if (!is_plain && kernel_case.one_in(8)) logit = -kInfinity;
      logits.push_back(logit);
    }
    const auto some = [&]() -> float& { return logits[logits.size() - 1 - static_cast<std::size_t>(kernel_case.draw(0, vocab - 1))]; };
    const std::int32_t kind = kernel_case.draw(1, 16);
    if (kind <= 2) std::fill(logits.end() - vocab, logits.end(), -kInfinity);
    if (kind >= 2 && kind <= 5) some() = kInfinity;
    if (kind == 4) some() = std::numeric_limits<float>::max();
    if (kind == 5 || kind == 6) some() = std::copysign(std::numeric_limits<float>::quiet_NaN(), kernel_case.pick({1.0f, -1.0f}));
  }
  return logits;
}

void expect_result(KernelCase& kernel_case, const TokenResult& got, const TokenResult& expected, std::span<const float> logits,
                   std::int32_t row) {
  // At the largest numbers the reference's logarithm of a sum, in double, has lost everything below 1e22: then only tokens are compared.
  const float highest = *std::max_element(logits.begin(), logits.end());
  const Tolerance logprob_tolerance = highest > 1e30f ? Tolerance{0, std::numeric_limits<double>::infinity()} : Tolerance{1e-6, 5e-6};
  const auto expect_same = [&](const char* what, std::int32_t found, std::int32_t wanted) {
    if (found != wanted) kernel_case.fail(fmt::format("{} of row {}: expected {}, found {}", what, row, wanted, found));
  };
  expect_same("id", got.id, expected.id);
  expect_same("rank", got.rank, expected.rank);
  kernel_case.expect_near(got.logprob, expected.logprob, logprob_tolerance, "logprob", row, got.id);
  expect_same("top_count", got.top_count, expected.top_count);
  if (got.top_count != expected.top_count) return;
  for (std::int32_t i = 0; i < got.top_count; ++i) {
    expect_same("token of the most likely", got.top[i].token, expected.top[i].token);
    kernel_case.expect_near(got.top[i].logprob, expected.top[i].logprob, logprob_tolerance, "logprob of the most likely", row, i);
  }
}

}  // namespace slora::cuda
