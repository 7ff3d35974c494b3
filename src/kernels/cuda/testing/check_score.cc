#include "kernels/cuda/score.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"
#include "kernels/cuda/testing/token_results.h"
#include "kernels/reference/score.h"

namespace slora::cuda {

std::string check_score(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const auto [place, rows, row_count, vocab] = draw_logits_shape(kernel_case);
  std::vector<float> values = draw_logits(kernel_case, row_count, vocab);
  std::vector<ScoreRow> asked;
  for (std::int32_t row = 0; row < row_count; ++row) {
    asked.push_back({.token = kernel_case.draw(0, vocab - 1), .logprob_count = kernel_case.pick({0, 1, 3, 3, kTopTokensMax})});
  }

  emulator::Device& device = kernel_case.device();
  const emulator::DeviceArray<std::int32_t> count(device, {row_count});
  const emulator::DeviceArray<ScoreRow> device_rows(device, asked);
  const DeviceMatrix logits(kernel_case, DType::f32, rows, vocab, place, row_count, values);
  const auto out = emulator::DeviceArray<TokenResult>::unwritten(device, static_cast<std::size_t>(row_count));
  score(kernel_case.stream(), out.data(), logits, device_rows.data(), count.data());

  std::vector<TokenResult> expected(static_cast<std::size_t>(row_count));
  reference::score(expected, {reinterpret_cast<std::byte*>(values.data()), DType::f32, row_count, vocab, vocab}, asked);
  const std::vector<TokenResult> got = out.download();
  for (std::int32_t row = 0; row < row_count; ++row) {
    const auto index = static_cast<std::size_t>(row), size = static_cast<std::size_t>(vocab);
    expect_result(kernel_case, got[index], expected[index], std::span(values).subspan(index * size, size), row);
  }
  return kernel_case.finish();
}

}  // namespace slora::cuda
