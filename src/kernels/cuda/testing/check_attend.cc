#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/cuda/attend.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {
namespace {

// Softmax of one row over keys [begin, end), times the values, both [keys, head_dim].
std::vector<double> attend_row(const float* q, const std::vector<float>& keys, const std::vector<float>& values, std::int32_t begin,
                               std::int32_t end, std::int32_t head_dim, float scale) {
  std::vector<double> weights, out(static_cast<std::size_t>(head_dim), 0.0);
  for (std::int32_t key = begin; key < end; ++key) {
    double score = 0;
    for (std::int32_t i = 0; i < head_dim; ++i) score += static_cast<double>(q[i]) * keys[static_cast<std::size_t>(key * head_dim + i)];
    weights.push_back(score * scale);
  }
  const double maximum = *std::max_element(weights.begin(), weights.end());
  for (double& weight : weights) weight = std::exp(weight - maximum);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (std::int32_t key = begin; key < end; ++key) {
    for (std::int32_t i = 0; i < head_dim; ++i) {
      out[static_cast<std::size_t>(i)] +=
          weights[static_cast<std::size_t>(key - begin)] / sum * values[static_cast<std::size_t>(key * head_dim + i)];
    }
  }
  return out;
}

}  // namespace

std::string check_attend(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  emulator::Device& device = kernel_case.device();
  const std::int32_t head_dim = kernel_case.pick({12, 20, 64, 96, 128});
  const std::int32_t kv_heads = kernel_case.draw(1, 2), group = kernel_case.pick({1, 2, 3, 7, 16});
  const std::int32_t page_tokens = kernel_case.pick({2, 4, 8});
  const std::int32_t window = kernel_case.one_in(2) ? 0 : kernel_case.draw(1, 40);
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim)) * kernel_case.pick({1.0f, 4.0f});
  const std::int32_t q_cols = kv_heads * group * head_dim, kv_cols = kv_heads * head_dim;

  // Spans with their keys and values, and the items of their queries: as many as a tile of 16 rows holds.
  std::vector<Span> spans;
  std::vector<AttendItem> items;
  std::int32_t rows = kernel_case.draw(0, 1), page_count = 1;
  for (std::int32_t left = kernel_case.draw(1, 3); left > 0; --left) {
    const std::int32_t count = kernel_case.pick({1, 1, 2, 9, 20});
    const std::int32_t position = kernel_case.pick({0, 3, 30, 100});
    const std::int32_t pages = (position + count + page_tokens - 1) / page_tokens;
    const std::int32_t per_item = AttendItem::kRowsMax / group;
    for (std::int32_t head = 0; head < kv_heads; ++head) {
      for (std::int32_t query = 0; query < count; query += per_item) {
        items.push_back({static_cast<std::int32_t>(spans.size()), query, std::min(per_item, count - query), head});
      }
    }
    spans.push_back({rows, count, position, page_count - 1, pages});
    rows += count + kernel_case.draw(0, 1);
    page_count += pages;
  }
  std::vector<std::uint32_t> pages(static_cast<std::size_t>(page_count - 1));
  std::iota(pages.begin(), pages.end(), 1u);
  std::reverse(pages.begin(), pages.end());

  // The pool: V before K, and what no position has taken is not written.
  const std::size_t part = static_cast<std::size_t>(kv_cols * page_tokens) * sizeof(Bfloat16);
  const std::size_t page_bytes = (2 * part + 15) / 16 * 16;
  const bool far = kernel_case.one_in(3);
  const std::size_t pool_begin = far ? (std::size_t{5} << 30) / page_bytes : 0;  // the first page in use
  const std::size_t pool_bytes = (pool_begin + static_cast<std::size_t>(page_count)) * page_bytes;
  std::byte* const base = far ? device.memory().allocate_sparse(pool_bytes) : device.memory().allocate(pool_bytes);
  for (std::uint32_t& page : pages) page += static_cast<std::uint32_t>(pool_begin);
  const KvPages layer{base, page_bytes, part, 0, page_tokens, kv_heads, head_dim};
  std::vector<std::vector<float>> keys, values;  // of each span and head [positions, head_dim]
  for (const Span& span : spans) {
    const std::int32_t positions = span.position_begin + span.row_count;
    for (std::int32_t head = 0; head < kv_heads; ++head) {
      keys.push_back(kernel_case.numbers(static_cast<std::size_t>(positions * head_dim)));
      values.push_back(kernel_case.numbers(static_cast<std::size_t>(positions * head_dim)));
      for (std::int32_t position = 0; position < positions; ++position) {
        std::byte* const page = base + pages[static_cast<std::size_t>(span.page_begin + position / page_tokens)] * page_bytes;
        const std::size_t row_bytes = static_cast<std::size_t>(head_dim) * 2;
        const std::size_t row = static_cast<std::size_t>(head * page_tokens + position % page_tokens) * row_bytes;
        std::vector<std::byte> stored(row_bytes);
        const std::size_t from = static_cast<std::size_t>(position * head_dim);
        convert_from_float(stored.data(), DType::bf16, keys.back().data() + from, static_cast<std::size_t>(head_dim));
        device.upload(page + layer.k_offset + row, stored.data(), row_bytes);
        convert_from_float(stored.data(), DType::bf16, values.back().data() + from, static_cast<std::size_t>(head_dim));
        device.upload(page + layer.v_offset + row, stored.data(), row_bytes);
      }
    }
  }

  const std::vector<float> q_values = kernel_case.numbers(static_cast<std::size_t>(rows * q_cols));
  const emulator::DeviceArray<Span> device_spans(device, spans);
  const emulator::DeviceArray<std::uint32_t> device_pages(device, pages);
  const emulator::DeviceArray<AttendItem> device_items(device, items);
  const emulator::DeviceArray<std::int32_t> span_count(device, {static_cast<std::int32_t>(spans.size())});
  const emulator::DeviceArray<AttendList> list(device, {{device_items.data(), static_cast<std::int32_t>(items.size())}});
  const DeviceMatrix q(kernel_case, DType::bf16, rows, q_cols, kernel_case.pick({Rows::aligned, Rows::even, Rows::far}), rows, q_values);
  const DeviceMatrix out(kernel_case, DType::bf16, rows, q_cols, kernel_case.pick({Rows::aligned, Rows::odd}));
  attend(kernel_case.stream(), out, q, layer, {{device_spans.data(), span_count.data(), device_pages.data()}, list.data(), scale, window},
         kernel_case.draw(1, 3));

  std::vector<double> expected(static_cast<std::size_t>(rows * q_cols), NAN);
  for (std::size_t s = 0; s < spans.size(); ++s) {
    for (std::int32_t query = 0; query < spans[s].row_count; ++query) {
      const std::int32_t end = spans[s].position_begin + query + 1;
      for (std::int32_t head = 0; head < kv_heads * group; ++head) {
        const std::size_t of_head = s * static_cast<std::size_t>(kv_heads) + static_cast<std::size_t>(head / group);
        const std::int32_t at = (spans[s].row_begin + query) * q_cols + head * head_dim;
        const std::vector<double> row = attend_row(q_values.data() + at, keys[of_head], values[of_head],
                                                   window == 0 ? 0 : std::max(0, end - window), end, head_dim, scale);
        std::copy(row.begin(), row.end(), expected.begin() + at);
      }
    }
  }
  // Values are at most 1 and their weights rounded once to bf16, so that a sum is off by at most 2^-9 before its own rounding.
  out.expect_elements("out", expected, {1.0 / 256 + 1e-5, 1.0 / 512 + 1e-5});
  device.memory().free(base);
  return kernel_case.finish();
}

}  // namespace slora::cuda
