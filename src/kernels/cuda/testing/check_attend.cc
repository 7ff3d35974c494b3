#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/cuda/attend_items.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {
namespace {

// Runs attend for items, which may leave parts.
void run_attend(KernelCase& kernel_case, Tensor out, Tensor q, const KvPages& layer, const StepSpans& spans, const AttendItems& work,
                float scale, const AttendCut& cut) {
  emulator::Device& device = kernel_case.device();
  const emulator::DeviceArray<AttendItem> items(device, work.items());
  const emulator::DeviceArray<AttendJoin> joins(device, work.joins());
  const emulator::DeviceArray<AttendList> list(device, {{.items = items.data(),
                                                         .item_count = static_cast<std::int32_t>(items.count()),
                                                         .join_count = static_cast<std::int32_t>(joins.count()),
                                                         .joins = joins.data()}});
  const auto part_rows = static_cast<std::size_t>(work.part_rows());
  const auto sums = emulator::DeviceArray<float>::unwritten(device, part_rows * static_cast<std::size_t>(layer.head_dim));
  const auto weights = emulator::DeviceArray<AttendParts::Weight>::unwritten(device, part_rows);
  AttendArgs args{
      .spans = spans, .list = list.data(), .scale = scale, .window = cut.window, .range_keys = cut.range_keys, .tile_rows = cut.tile_rows};
  if (part_rows > 0 || kernel_case.one_in(2)) args.parts = {sums.data(), weights.data()};
  attend(kernel_case.stream(), out, q, layer, args, kernel_case.draw(1, 3));
}

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

// Of each span and kv head [positions, head_dim].
struct DrawnKeys {
  std::vector<std::vector<float>> keys, values;
};

// Writes them into the pages. Pages hold what nobody has written where no position has taken a place.
DrawnKeys draw_keys(KernelCase& kernel_case, const KvPages& layer, const std::vector<Span>& spans,
                    const std::vector<std::uint32_t>& pages) {
  DrawnKeys drawn;
  const auto head_dim = static_cast<std::size_t>(layer.head_dim);
  const auto write = [&](std::byte* part, std::int32_t row, const std::vector<float>& of_head, std::size_t position) {
    std::vector<std::byte> stored(head_dim * sizeof(Bfloat16));
    convert_from_float(stored.data(), DType::bf16, of_head.data() + position * head_dim, head_dim);
    kernel_case.device().upload(part + static_cast<std::size_t>(row) * stored.size(), stored.data(), stored.size());
  };
  for (const Span& span : spans) {
    const std::int32_t positions = span.position_begin + span.row_count;
    for (std::int32_t head = 0; head < layer.kv_heads; ++head) {
      drawn.keys.push_back(kernel_case.numbers(static_cast<std::size_t>(positions) * head_dim));
      drawn.values.push_back(kernel_case.numbers(static_cast<std::size_t>(positions) * head_dim));
      for (std::int32_t position = 0; position < positions; ++position) {
        const std::size_t page = pages[static_cast<std::size_t>(span.page_begin + position / layer.page_tokens)];
        const std::int32_t row = head * layer.page_tokens + position % layer.page_tokens;
        std::byte* const begin = layer.base + page * layer.page_bytes;
        write(begin + layer.k_offset, row, drawn.keys.back(), static_cast<std::size_t>(position));
        write(begin + layer.v_offset, row, drawn.values.back(), static_cast<std::size_t>(position));
      }
    }
  }
  return drawn;
}

// By plain loops [rows, heads * head_dim]; NaN in rows of no span. q [rows, heads * head_dim].
std::vector<double> attend_all(const std::vector<float>& q, std::int32_t group, const DrawnKeys& drawn, const KvPages& layer,
                               const std::vector<Span>& spans, float scale, std::int32_t window) {
  std::vector<double> expected(q.size(), NAN);
  const std::int32_t heads = layer.kv_heads * group;
  for (std::size_t s = 0; s < spans.size(); ++s) {
    for (std::int32_t query = 0; query < spans[s].row_count; ++query) {
      const std::int32_t end = spans[s].position_begin + query + 1;
      for (std::int32_t head = 0; head < heads; ++head) {
        const std::size_t of_head = s * static_cast<std::size_t>(layer.kv_heads) + static_cast<std::size_t>(head / group);
        const std::int32_t at = ((spans[s].row_begin + query) * heads + head) * layer.head_dim;
        const std::vector<double> row = attend_row(q.data() + at, drawn.keys[of_head], drawn.values[of_head],
                                                   window == 0 ? 0 : std::max(0, end - window), end, layer.head_dim, scale);
        std::copy(row.begin(), row.end(), expected.begin() + at);
      }
    }
  }
  return expected;
}

}  // namespace

std::string check_attend(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  emulator::Device& device = kernel_case.device();
  // Windows of which the first block of keys is another one for later queries, and enough numbers that some show in which order the warps'
  // parts were joined, although they were rounded to bf16.
  const bool is_long = kernel_case.one_in(3);
  const std::int32_t head_dim = is_long ? 128 : kernel_case.pick({12, 20, 64, 96, 128, 160, 256});
  const std::int32_t kv_heads = kernel_case.draw(1, 2), group = is_long ? 3 : kernel_case.pick({1, 2, 3, 7, 16});
  const std::int32_t page_tokens = kernel_case.pick({2, 4, 8});
  const std::int32_t window = is_long ? kernel_case.draw(55, 80) : kernel_case.one_in(2) ? 0 : kernel_case.draw(1, 40);
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim)) * kernel_case.pick({1.0f, 4.0f});
  const std::int32_t q_cols = kv_heads * group * head_dim, kv_cols = kv_heads * head_dim;

  // Spans with their keys and values. Their queries in tiles as usual, and once more in others of another size.
  AttendCut cut{kv_heads, group, window, is_long ? AttendArgs::kRangeKeys : kernel_case.pick({16, 48, 64, AttendArgs::kRangeKeys})},
      other_cut = cut;
  (kernel_case.one_in(2) ? cut : other_cut).tile_rows = attend_tile_rows(head_dim);
  AttendItems work(cut), other_work(other_cut);
  const std::int32_t other_queries = kernel_case.draw(1, other_cut.tile_rows / group);
  std::vector<Span> spans;
  std::int32_t rows = kernel_case.draw(0, 1), page_count = 1;
  for (std::int32_t left = kernel_case.draw(1, 3); left > 0; --left) {
    const std::int32_t count = is_long ? 20 : kernel_case.pick({1, 1, 2, 9, 20});
    const std::int32_t position = is_long ? kernel_case.draw(80, 110) : kernel_case.pick({0, 3, 30, 100});
    const std::int32_t pages = (position + count + page_tokens - 1) / page_tokens;
    const auto index = static_cast<std::int32_t>(spans.size());
    spans.push_back({rows, count, position, page_count - 1, pages});
    if (count <= work.queries_max() || kernel_case.one_in(3)) {
      work.add_ranges(index, spans.back(), work.queries_max());
    } else {
      work.add_tiles(index, spans.back(), work.queries_max());
    }
    if (kernel_case.one_in(2)) {
      other_work.add_tiles(index, spans.back(), other_queries);
    } else {
      other_work.add_ranges(index, spans.back(), other_queries);
    }
    rows += count + kernel_case.draw(0, 1);
    page_count += pages;
  }
  work.place_longest_first();
  std::vector<std::uint32_t> pages(static_cast<std::size_t>(page_count - 1));
  std::iota(pages.begin(), pages.end(), 1u);
  std::reverse(pages.begin(), pages.end());

  // The pool: V before K.
  const std::size_t part = static_cast<std::size_t>(kv_cols * page_tokens) * sizeof(Bfloat16);
  const std::size_t page_bytes = (2 * part + 15) / 16 * 16;
  const bool far = kernel_case.one_in(3);
  const std::size_t pool_begin = far ? (std::size_t{5} << 30) / page_bytes : 0;  // the first page in use
  const std::size_t pool_bytes = (pool_begin + static_cast<std::size_t>(page_count)) * page_bytes;
  std::byte* const base = far ? device.memory().allocate_sparse(pool_bytes) : device.memory().allocate(pool_bytes);
  for (std::uint32_t& page : pages) page += static_cast<std::uint32_t>(pool_begin);
  const KvPages layer{base, page_bytes, part, 0, page_tokens, kv_heads, head_dim};
  const DrawnKeys drawn = draw_keys(kernel_case, layer, spans, pages);
  const std::vector<float> q_values = kernel_case.numbers(static_cast<std::size_t>(rows * q_cols));
  const emulator::DeviceArray<Span> device_spans(device, spans);
  const emulator::DeviceArray<std::uint32_t> device_pages(device, pages);
  const emulator::DeviceArray<std::int32_t> span_count(device, {static_cast<std::int32_t>(spans.size())});
  const DeviceMatrix q(kernel_case, DType::bf16, rows, q_cols, kernel_case.pick({Rows::aligned, Rows::even, Rows::far}), rows, q_values);
  const StepSpans step_spans{device_spans.data(), span_count.data(), device_pages.data()};
  const DeviceMatrix out(kernel_case, DType::bf16, rows, q_cols, kernel_case.pick({Rows::aligned, Rows::odd}));
  run_attend(kernel_case, out, q, layer, step_spans, work, scale, cut);
  const DeviceMatrix other(kernel_case, DType::bf16, rows, q_cols, Rows::aligned);
  run_attend(kernel_case, other, q, layer, step_spans, other_work, scale, other_cut);

  // Values are at most 1 and their weights rounded once to bf16, so that a sum is off by at most 2^-9 before its own rounding.
  out.expect_elements("out", attend_all(q_values, group, drawn, layer, spans, scale, window), {1.0 / 256 + 1e-5, 1.0 / 512 + 1e-5});
  std::vector<double> same;
  for (std::int32_t row = 0; row < rows; ++row) {
    const std::vector<float> values = out.row(row);
    same.insert(same.end(), values.begin(), values.end());
  }
  other.expect_elements("out of other tiles", same, kExact);
  device.memory().free(base);
  return kernel_case.finish();
}

}  // namespace slora::cuda
