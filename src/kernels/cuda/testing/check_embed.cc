#include "kernels/cuda/embed.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {

std::string check_embed(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const std::int32_t rows = kernel_case.draw(1, 20);
  const std::int32_t row_count = kernel_case.draw(0, rows);
  const std::int64_t hidden = kernel_case.pick<std::int64_t>({12, 60, 64, 97, 264, 520});
  const std::int32_t token_count = kernel_case.pick({1, 7, 97});
  const std::int32_t first_token = kernel_case.pick({0, 0, 5});
  const std::vector<float> table_values = kernel_case.numbers(static_cast<std::size_t>(token_count * hidden));

  // Tokens of the table and of other shards', known ones and ones that the previous step sampled.
  const std::int32_t sampled_count = kernel_case.draw(1, 6);
  std::vector<TokenResult> sampled;
  for (std::int32_t i = 0; i < sampled_count; ++i) sampled.emplace_back().id = kernel_case.draw(-1, first_token + token_count);
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> tokens;
  for (std::int32_t t = 0; t < row_count; ++t) {
    const std::int32_t id =
        kernel_case.one_in(3) ? -1 - kernel_case.draw(0, sampled_count - 1) : kernel_case.draw(0, first_token + token_count);
    ids.push_back(id);
    tokens.push_back(id >= 0 ? id : sampled[static_cast<std::size_t>(-1 - id)].id);
  }

  emulator::Device& device = kernel_case.device();
  const emulator::DeviceArray<std::int32_t> device_ids(device, ids), count(device, {row_count});
  const emulator::DeviceArray<TokenResult> device_sampled(device, sampled);
  const DeviceMatrix table(kernel_case, DType::bf16, token_count, hidden, draw_rows(kernel_case), token_count, table_values);
  const DeviceMatrix out(kernel_case, kernel_case.pick({DType::f32, DType::bf16}), rows, hidden, draw_rows(kernel_case));
  embed(kernel_case.stream(), out, {device_ids.data(), device_sampled.data(), count.data()}, table, first_token);
  out.expect("out", row_count, kExact, [&](std::int64_t t, std::int64_t i) {
    const std::int64_t row = tokens[static_cast<std::size_t>(t)] - first_token;
    return row >= 0 && row < token_count ? table_values[static_cast<std::size_t>(row * hidden + i)] : 0.0f;
  });
  return kernel_case.finish();
}

}  // namespace slora::cuda
