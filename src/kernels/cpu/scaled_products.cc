#include "kernels/cpu/scaled_products.h"

#include <algorithm>
#include <bit>
#include <tuple>

namespace slora::cpu {
namespace {

constexpr std::size_t kScaledRowsMax = 128;  // multiplied at once: enough for W to be read seldom
constexpr std::int64_t kScaledPanels = 2;    // of one work item, so that its part of the products stays in cache
constexpr std::int64_t kPanel = PackedWeight::kPanelCols;
constexpr std::int64_t kScaledCols = kScaledPanels * kPanel;
static_assert(Int8Weight::kPanelCols == kPanel && Int4Weight::kPanelCols == kPanel);

// Columns of a record's slice.
struct SliceCols {
  std::int64_t begin, end;
};

bool is_of_one_slice(const RecordView& a, const RecordView& b) { return a.slice_begin == b.slice_begin && a.out == b.out; }

// out = A[rank, :] * x
void scale_by_rank(Bfloat16* out, const Bfloat16* x, const TiledMatrix& a, std::int32_t rank) {
  for (const Tile& tile : a) {
    if (rank < tile.row_begin || rank >= tile.row_begin + tile.row_count) continue;
    const auto* factors = reinterpret_cast<const Bfloat16*>(tile.data) + static_cast<std::int64_t>(rank - tile.row_begin) * tile.col_count;
    for (std::int32_t i = 0; i < tile.col_count; ++i) {
      out[tile.col_begin + i] = to_bfloat16(to_float(factors[i]) * to_float(x[tile.col_begin + i]));
    }
  }
}

// y += factor * gain * B[:, rank] * product on columns of the slice, where all three begin.
void add_rank(float* y, const float* product, const RecordView& record, std::int32_t rank, float factor, SliceCols cols) {
  const std::int32_t pair = rank / 2;
  const int shift = rank % 2 == 0 ? 16 : 0;  // an odd rank is in the high half of a word
  for (const Tile& tile : record.b) {
    if (pair < tile.row_begin || pair >= tile.row_begin + tile.row_count) continue;
    const std::int64_t tile_begin = tile.col_begin / 2, tile_cols = tile.col_count / 2;
    const std::int64_t begin = std::max(cols.begin, tile_begin);
    const std::int64_t count = std::min(cols.end, tile_begin + tile_cols) - begin;
    const auto* b = reinterpret_cast<const std::uint32_t*>(tile.data) + (pair - tile.row_begin) * tile_cols + (begin - tile_begin);
    float* const to = y + (begin - cols.begin);
    const float* const from = product + (begin - cols.begin);
    const auto element = [&](std::int64_t i) { return factor * std::bit_cast<float>(b[i] << shift & 0xffff0000u); };
    if (record.delta_gain == nullptr) {
      for (std::int64_t i = 0; i < count; ++i) to[i] += element(i) * from[i];
    } else {
      const float* const gain = record.delta_gain + begin;
      for (std::int64_t i = 0; i < count; ++i) to[i] += element(i) * gain[i] * from[i];
    }
  }
}

}  // namespace

void scale_inputs(Bfloat16* out, const Bfloat16* x, const float* factors, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = to_bfloat16(factors[i] * to_float(x[i]));
}

// Records of one slice are neighbours then, and their rows are multiplied together. A row's products are always added in the same order.
template <class Weight>
void ScaledProducts::run_all(Tensor y, Tensor x, const Weight& weight) {
  std::ranges::sort(factors_, {}, [](const Factors& f) {
    return std::tuple(f.is_hadamard, f.applied->record->slice_begin, f.applied->record->out, f.applied);
  });
  rows_.clear();
  for (const Factors& factors : factors_) {
    const AppliedRecord& applied = *factors.applied;
    if (!rows_.empty() && !is_of_one_slice(*rows_.front().factors.applied->record, *applied.record)) multiply(y, x, weight);
    const std::int32_t ranks = factors.is_hadamard ? applied.record->rank : 1;
    for (std::int32_t row = applied.row_begin; row < applied.row_begin + applied.row_count; ++row) {
      for (std::int32_t rank = 0; rank < ranks; ++rank) {
        rows_.push_back({factors, row, rank});
        if (rows_.size() == kScaledRowsMax) multiply(y, x, weight);
      }
    }
  }
  if (!rows_.empty()) multiply(y, x, weight);
}

template <class Weight>
void ScaledProducts::multiply(Tensor y, Tensor x, const Weight& weight) {
  const auto count = std::ssize(rows_);
  auto* memory = inputs_.take<Bfloat16>(rows_.size() * static_cast<std::size_t>(x.cols));
  const Tensor inputs{reinterpret_cast<std::byte*>(memory), DType::bf16, count, x.cols, x.cols};
  pool_.parallel_rows(count, x.cols, [&](std::int64_t i) {
    const Row& row = rows_[static_cast<std::size_t>(i)];
    const RecordView& record = *row.factors.applied->record;
    const auto* from = x.row<const Bfloat16>(row.index);
    if (row.factors.is_hadamard) {
      scale_by_rank(inputs.row<Bfloat16>(i), from, record.a, row.rank);
    } else {
      scale_inputs(inputs.row<Bfloat16>(i), from, record.input_gain, x.cols);
    }
  });
  const auto call = packed(inputs, weight);
  auto* products = products_.take<float>(rows_.size() * static_cast<std::size_t>(kScaledCols * pool_.thread_count()));
  const std::int64_t slice_begin = rows_.front().factors.applied->record->slice_begin;
  const std::int64_t slice_end = slice_begin + rows_.front().factors.applied->record->out;
  const std::int64_t first_panel = slice_begin / kPanel, last_panel = (slice_end + kPanel - 1) / kPanel;
  pool_.parallel_ranges(last_panel - first_panel, kScaledPanels, [&](std::int64_t begin, std::int64_t end, int worker) {
    auto item = call;
    float* const product = products + worker * count * kScaledCols;
    const std::int64_t item_begin = (first_panel + begin) * kPanel;
    set_output(item, {reinterpret_cast<std::byte*>(product), DType::f32, count, kScaledCols, kScaledCols}, item_begin);
    run_columns(kernels_, item, first_panel + begin, first_panel + end);
    const std::int64_t col_begin = std::max(slice_begin, item_begin), col_end = std::min(slice_end, (first_panel + end) * kPanel);
    for (std::int64_t i = 0; i < count; ++i) {
      const Row& row = rows_[static_cast<std::size_t>(i)];
      const AppliedRecord& applied = *row.factors.applied;
      float* const to = y.row<float>(row.index) + col_begin;
      const float* const from = product + i * kScaledCols + (col_begin - item_begin);
      if (row.factors.is_hadamard) {
        add_rank(to, from, *applied.record, row.rank, applied.weight * applied.record->scale,
                 {col_begin - slice_begin, col_end - slice_begin});
      } else {
        std::copy_n(from, col_end - col_begin, to);
      }
    }
  });
  rows_.clear();
}

LinearCall ScaledProducts::packed(Tensor inputs, const PackedWeight& weight) {
  tiles_.clear();
  tiles_.add(inputs, 0);
  tiles_.pack(pool_);
  return {.y = {}, .weight = weight, .x_tiles = tiles_.tile(0), .tile_count = tiles_.count(), .bias = {}, .records = {}};
}

ByteLinearCall<Int8Weight> ScaledProducts::packed(Tensor inputs, const Int8Weight& weight) {
  return {.y = {}, .weight = weight, .tiles = int8_rows_.pack(inputs, pool_), .bias = {}, .records = {}};
}

ByteLinearCall<Int4Weight> ScaledProducts::packed(Tensor inputs, const Int4Weight& weight) {
  return {.y = {}, .weight = weight, .tiles = int4_rows_.pack(inputs, pool_), .bias = {}, .records = {}};
}

template void ScaledProducts::run_all(Tensor y, Tensor x, const PackedWeight& weight);
template void ScaledProducts::run_all(Tensor y, Tensor x, const Int8Weight& weight);
template void ScaledProducts::run_all(Tensor y, Tensor x, const Int4Weight& weight);
template void ScaledProducts::run_all(Tensor y, Tensor x, const Int4Int8Weight& weight);
template void ScaledProducts::run_all(Tensor y, Tensor x, const Int8Bf16Weight& weight);

}  // namespace slora::cpu
