#include <algorithm>
#include <numeric>

#include "kernels/cuda/copy_pages.h"
#include "kernels/cuda/fill.h"
#include "kernels/cuda/gather_rows.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {

std::string check_copy_pages(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const std::size_t page_bytes = kernel_case.pick<std::size_t>({16, 20, 64, 100, 4096, 5000, 135176});
  const bool far = kernel_case.one_in(3);  // a pool of more than 4 GiB, of which the first and last pages are used
  const std::uint32_t page_count = far ? static_cast<std::uint32_t>((std::size_t{5} << 30) / page_bytes) : 8;
  emulator::DeviceMemory& memory = kernel_case.device().memory();
  std::byte* const base = far ? memory.allocate_sparse(page_count * page_bytes) : memory.allocate(page_count * page_bytes);

  // Eight pages in any order: the first ones are copied to as many others.
  std::vector<std::uint32_t> pages(8);
  std::iota(pages.begin(), pages.end(), 0u);
  for (std::size_t left = pages.size(); left > 1; --left) {
    std::swap(pages[left - 1], pages[static_cast<std::size_t>(kernel_case.draw(0, static_cast<std::int32_t>(left) - 1))]);
  }
  for (std::uint32_t& page : pages) page = page < 4 ? page : page_count - 1 - (page - 4);
  const auto pair_count = static_cast<std::size_t>(kernel_case.draw(0, 4));
  std::vector<std::vector<std::byte>> contents(8);
  for (std::size_t i = 0; i < 8; ++i) {
    contents[i].resize(page_bytes);
    for (std::byte& value : contents[i]) value = static_cast<std::byte>(kernel_case.draw(0, 255));
    kernel_case.device().upload(base + pages[i] * page_bytes, contents[i].data(), page_bytes);
  }
  std::vector<PagePair> pairs;
  for (std::size_t i = 0; i < pair_count; ++i) pairs.push_back({.to = pages[4 + i], .from = pages[i]});
  const emulator::DeviceArray<PagePair> device_pairs(kernel_case.device(), pairs);
  copy_pages(kernel_case.stream(), base, page_bytes, device_pairs.data(), static_cast<std::int32_t>(pair_count));

  for (std::size_t i = 0; i < 8; ++i) {
    std::vector<std::byte> found(page_bytes);
    kernel_case.device().download(found.data(), base + pages[i] * page_bytes, page_bytes);
    if (found != contents[i >= 4 && i - 4 < pair_count ? i - 4 : i]) kernel_case.fail("a page has other contents than expected");
  }
  memory.free(base);
  return kernel_case.finish();
}

std::string check_fill(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const DType dtype = kernel_case.pick({DType::f32, DType::bf16});
  const std::int64_t rows = kernel_case.draw(1, 5);
  const std::int64_t cols = kernel_case.pick<std::int64_t>({1, 12, 60, 64, 97, 256, 2056, 300});
  const DeviceMatrix out(kernel_case, dtype, rows, cols, draw_rows(kernel_case));
  const float value = kernel_case.number();
  fill(kernel_case.stream(), out, value);
  out.expect("out", rows, kExact, [&](std::int64_t, std::int64_t) { return value; });
  return kernel_case.finish();
}

std::string check_gather_rows(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const DType dtype = kernel_case.pick({DType::f32, DType::bf16});
  const std::int32_t in_rows = kernel_case.draw(1, 5);
  const std::int64_t cols = kernel_case.pick<std::int64_t>({1, 12, 60, 64, 97, 256, 2056, 300});
  const std::int32_t out_rows = kernel_case.draw(1, 6);
  const std::int32_t row_count = kernel_case.draw(0, out_rows);
  const std::vector<float> values = kernel_case.numbers(static_cast<std::size_t>(in_rows * cols));
  std::vector<std::int32_t> rows;
  for (std::int32_t i = 0; i < row_count; ++i) rows.push_back(kernel_case.draw(0, in_rows - 1));

  const emulator::DeviceArray<std::int32_t> device_rows(kernel_case.device(), rows), count(kernel_case.device(), {row_count});
  const DeviceMatrix in(kernel_case, dtype, in_rows, cols, draw_rows(kernel_case), in_rows, values);
  const DeviceMatrix out(kernel_case, dtype, out_rows, cols, draw_rows(kernel_case));
  gather_rows(kernel_case.stream(), out, in, device_rows.data(), count.data());
  out.expect("out", row_count, kExact, [&](std::int64_t i, std::int64_t column) {
    return values[static_cast<std::size_t>(rows[static_cast<std::size_t>(i)] * cols + column)];
  });
  return kernel_case.finish();
}

}  // namespace slora::cuda
