#include <algorithm>
#include <cstring>
#include <map>

#include "kernels/cuda/store_kv.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {
namespace {

// Spans over a part of the rows, each with pages of its own.
struct DrawnSpans {
  std::vector<Span> spans;
  std::vector<std::uint32_t> pages;
};
DrawnSpans draw_spans(KernelCase& kernel_case, std::int32_t rows, std::int32_t page_tokens, std::vector<std::uint32_t> free_pages) {
  DrawnSpans drawn;
  std::int32_t row = kernel_case.draw(0, 1);
  while (row < rows) {
    const std::int32_t count = std::min(rows - row, kernel_case.draw(1, 5));
    const std::int32_t position = kernel_case.draw(0, 2 * page_tokens);
    const std::int32_t page_count = (position + count + page_tokens - 1) / page_tokens;
    drawn.spans.push_back({row, count, position, static_cast<std::int32_t>(drawn.pages.size()), page_count});
    for (std::int32_t i = 0; i < page_count; ++i) {
      drawn.pages.push_back(free_pages.back());
      free_pages.pop_back();
    }
    row += count + kernel_case.draw(0, 1);  // sometimes a row of no span
  }
  return drawn;
}

}  // namespace

std::string check_store_kv(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const std::int32_t rows = kernel_case.draw(1, 20);
  const std::int32_t row_count = kernel_case.draw(0, rows);
  const std::int32_t head_dim = kernel_case.pick({12, 20, 64, 128, 7});
  const std::int32_t kv_heads = kernel_case.draw(1, 4);
  const std::int32_t page_tokens = kernel_case.pick({1, 2, 4, 8});
  const std::size_t part_bytes = static_cast<std::size_t>(kv_heads * page_tokens * head_dim) * sizeof(Bfloat16);
  const std::size_t page_bytes = (3 * part_bytes + 15) / 16 * 16 + (kernel_case.one_in(4) ? 2 : 0);
  const bool far = kernel_case.one_in(3);
  constexpr std::uint32_t kPages = 256;
  const std::uint32_t page_count = far ? static_cast<std::uint32_t>((std::size_t{5} << 30) / page_bytes) : kPages;
  emulator::DeviceMemory& memory = kernel_case.device().memory();
  std::byte* const base = far ? memory.allocate_sparse(page_count * page_bytes) : memory.allocate(page_count * page_bytes);
  std::vector<std::uint32_t> free_pages;
  for (std::uint32_t page = 0; page < kPages; ++page) free_pages.push_back(page % 2 == 0 ? page : page_count - page);
  const KvPages layer{base, page_bytes, part_bytes, 2 * part_bytes, page_tokens, kv_heads, head_dim};

  const DrawnSpans drawn = draw_spans(kernel_case, row_count, page_tokens, std::move(free_pages));
  const std::int64_t cols = kv_heads * head_dim;
  const std::vector<float> k_values = kernel_case.numbers(static_cast<std::size_t>(row_count * cols));
  const std::vector<float> v_values = kernel_case.numbers(static_cast<std::size_t>(row_count * cols));
  emulator::Device& device = kernel_case.device();
  const emulator::DeviceArray<Span> spans(device, drawn.spans);
  const emulator::DeviceArray<std::uint32_t> pages(device, drawn.pages);
  const emulator::DeviceArray<std::int32_t> span_count(device, {static_cast<std::int32_t>(drawn.spans.size())});
  const DeviceMatrix k(kernel_case, DType::bf16, rows, cols, draw_rows(kernel_case), row_count, k_values);
  const DeviceMatrix v(kernel_case, DType::bf16, rows, cols, draw_rows(kernel_case), row_count, v_values);
  store_kv(kernel_case.stream(), layer, k, v, {spans.data(), span_count.data(), pages.data()});

  // Every page that a span names, as the loops would have left it.
  std::map<std::uint32_t, std::vector<std::byte>> expected;
  for (const std::uint32_t page : drawn.pages) expected[page].assign(page_bytes, far ? std::byte{0} : std::byte{0xff});
  for (const Span& span : drawn.spans) {
    for (std::int32_t i = 0; i < span.row_count; ++i) {
      const std::int32_t position = span.position_begin + i;
      std::byte* const page = expected[drawn.pages[static_cast<std::size_t>(span.page_begin + position / page_tokens)]].data();
      for (std::int64_t column = 0; column < cols; ++column) {
        const std::int64_t element = (column / head_dim * page_tokens + position % page_tokens) * head_dim + column % head_dim;
        const auto from = static_cast<std::size_t>((span.row_begin + i) * cols + column);
        const Bfloat16 stored_k = to_bfloat16(k_values[from]), stored_v = to_bfloat16(v_values[from]);
        std::memcpy(page + layer.k_offset + element * 2, &stored_k, 2);
        std::memcpy(page + layer.v_offset + element * 2, &stored_v, 2);
      }
    }
  }
  for (const auto& [page, contents] : expected) {
    std::vector<std::byte> found(page_bytes);
    device.download(found.data(), base + page * page_bytes, page_bytes);
    if (found != contents) kernel_case.fail("a page has other contents than expected");
  }
  memory.free(base);
  return kernel_case.finish();
}

}  // namespace slora::cuda
