#include "kernels/cpu/linear.h"

#include <algorithm>

namespace slora::cpu {
namespace {

constexpr std::int64_t kPanelCols = PackedWeight::kPanelCols;
constexpr std::int64_t kItemPanels = 4;  // of one work item, at most: the micro-kernel computes up to four panels of a few rows at once
// With several row tiles, use short work items: the first item of each thread starts without prefetched weights, and threads finish up to
// one item apart. A single tile prefetches linearly, so the length of items does not matter. 0 tiles: x is quantised.
std::int64_t item_panels(std::size_t tile_count) { return tile_count <= 1 ? kItemPanels : kItemPanels / 2; }

// Up to this many rows the micro-kernel computes four panels at once. With more rows, use items of two, so that gate, up and their
// prefetches fit the second-level cache.
constexpr std::int64_t kSideBySideRows = 3;

template <class Weight>
constexpr bool kReadsTiles = false;  // of bf16
template <>
constexpr bool kReadsTiles<PackedWeight> = true;
template <class Coarse, class Fine>
constexpr bool kReadsTiles<MixedWeight<Coarse, Fine>> = kReadsTiles<Coarse> || kReadsTiles<Fine>;

std::int64_t out_of(const auto& weight) { return weight.out; }
template <class Coarse, class Fine>
std::int64_t out_of(const MixedWeight<Coarse, Fine>& weight) {
  return weight.fine.out;
}

auto gated_of(const Kernels& kernels, Activation activation) {
  return activation == Activation::silu ? kernels.gated_silu : kernels.gated_gelu_tanh;
}

}  // namespace

template <class Weight>
auto Linear::prepare(Tensor y, Tensor x, const Weight& weight, std::span<const float> bias, Tensor z,
                     std::span<const AppliedRecord> records) {
  general_.pick(x, z, bias, out_of(weight), records);
  pack_tiles(kReadsTiles<Weight> ? general_.inputs() : Tensor{}, z, general_.others(), x.rows);
  return call_of(y, weight, bias);
}

template <class Weight>
void Linear::run(Tensor y, Tensor x, const Weight& weight, std::span<const float> bias, Tensor z, std::span<const AppliedRecord> records) {
  check(x.dtype == DType::bf16 && y.dtype == DType::f32, "expected x in bf16 and y in fp32");
  const auto call = prepare(y, x, weight, bias, z, records);
  pool_.parallel_ranges(weight.panel_count(), item_panels(x_tile_count_),
                        [&](std::int64_t begin, std::int64_t end, int) { run_columns(kernels_, call, begin, end); });
  deferred_.run(y);
  general_.run(y, weight);
}

template <class Weight>
void Linear::run_gated(Tensor out, Tensor x, const Weight& weight, std::span<const float> bias, Tensor z,
                       std::span<const AppliedRecord> records, Activation activation) {
  check(x.dtype == DType::bf16 && out.dtype == DType::bf16, "expected x and out in bf16");
  const auto call = prepare({}, x, weight, bias, z, records);
  if (deferred_.empty() && general_.empty()) {
    gate(out, call, activation);
  } else {
    gate_deferred(out, weight, call, activation);
  }
}

template <class Call>
void Linear::gate(Tensor out, const Call& product, Activation activation) {
  const auto gated = gated_of(kernels_, activation);
  constexpr std::int64_t kWidth = (kItemPanels + 1) * kPanelCols;  // one more panel, since up's columns may begin within a panel
  const std::int64_t half = out.rows * kWidth;
  auto* scratch = scratch_.take<float>(static_cast<std::size_t>(2 * half * pool_.thread_count()));
  // Computes y's columns [begin, end) of every row; returns the address of the first.
  const auto multiply = [&](float* y, std::int64_t begin, std::int64_t end) {
    const std::int64_t panel_begin = begin / kPanelCols;
    Call call = product;
    set_output(call, {reinterpret_cast<std::byte*>(y), DType::f32, out.rows, kWidth, kWidth}, panel_begin * kPanelCols);
    run_columns(kernels_, call, panel_begin, (end + kPanelCols - 1) / kPanelCols);
    return y + (begin - panel_begin * kPanelCols);
  };
  const auto run_panels = [&](std::int64_t panel_begin, std::int64_t panel_end, int worker) {
    const std::int64_t begin = panel_begin * kPanelCols, end = std::min(panel_end * kPanelCols, out.cols);
    float* own = scratch + 2 * half * worker;
    const float* gate = multiply(own, begin, end);
    const float* up = multiply(own + half, out.cols + begin, out.cols + end);
    for (std::int64_t t = 0; t < out.rows; ++t) {
      gated(out.row<Bfloat16>(t) + begin, gate + t * kWidth, up + t * kWidth, end - begin);
    }
  };
  const std::int64_t run_max = out.rows <= kSideBySideRows ? kItemPanels : kItemPanels / 2;
  pool_.parallel_ranges((out.cols + kPanelCols - 1) / kPanelCols, run_max, run_panels);
}

template <class Weight, class Call>
void Linear::gate_deferred(Tensor out, const Weight& weight, Call product, Activation activation) {
  const std::int64_t width = 2 * out.cols;
  const auto gated = gated_of(kernels_, activation);
  auto* y = scratch_.take<float>(static_cast<std::size_t>(out.rows * width));
  const Tensor whole{reinterpret_cast<std::byte*>(y), DType::f32, out.rows, width, width};
  set_output(product, whole, 0);
  pool_.parallel_ranges(weight.panel_count(), item_panels(x_tile_count_),
                        [&](std::int64_t begin, std::int64_t end, int) { run_columns(kernels_, product, begin, end); });
  deferred_.run(whole);
  general_.run(whole, weight);
  pool_.parallel_rows(out.rows, width,
                      [&](std::int64_t t) { gated(out.row<Bfloat16>(t), y + t * width, y + t * width + out.cols, out.cols); });
}

void Linear::pack_tiles(Tensor x, Tensor z, std::span<const AppliedRecord> records, std::int64_t rows) {
  tiles_.clear();
  expands_.clear();
  first_tiles_.clear();
  tiles_.add(x, 0);
  x_tile_count_ = tiles_.count();
  deferred_.pick(z, records, rows);
  for (const AppliedRecord& applied : records) {
    const std::size_t first = tiles_.count();
    const bool is_deferred = deferred_.holds(applied);
    check(applied.record->rank == 0 || applied.record->b.dtype == DType::bf16, "expected B in bf16");
    if (applied.record->rank > 0 && !is_deferred) {
      add_z_tiles(z.cols_from(applied.z_begin, applied.record->rank), applied);
    }
    first_tiles_.push_back(first);
    expands_.push_back({&applied, nullptr, tiles_.count() - first, is_deferred});
  }
  tiles_.pack(pool_);
  for (std::size_t i = 0; i < expands_.size(); ++i) expands_[i].z_tiles = tiles_.tile(first_tiles_[i]);
}

// Tiles of z are cut where the tiles of x are, so that records are added to a tile as soon as its product is done.
void Linear::add_z_tiles(Tensor z, const AppliedRecord& applied) {
  const std::int64_t row_end = applied.row_begin + applied.row_count;
  const float factor = applied.weight * applied.record->scale;
  if (x_tile_count_ == 0) tiles_.add(z.rows_from(applied.row_begin, applied.row_count), applied.row_begin, factor);
  for (std::size_t i = 0; i < x_tile_count_; ++i) {
    const RowTile x = *tiles_.tile(i);
    const std::int64_t begin = std::max<std::int64_t>(x.row_begin, applied.row_begin);
    const std::int64_t end = std::min(x.row_begin + x.rows, row_end);
    if (begin < end) tiles_.add(z.rows_from(begin, end - begin), begin, factor);
  }
}

template void Linear::run(Tensor y, Tensor x, const PackedWeight& weight, std::span<const float> bias, Tensor z,
                          std::span<const AppliedRecord> records);
template void Linear::run_gated(Tensor out, Tensor x, const PackedWeight& weight, std::span<const float> bias, Tensor z,
                                std::span<const AppliedRecord> records, Activation activation);
template void Linear::run(Tensor y, Tensor x, const Int8Weight& weight, std::span<const float> bias, Tensor z,
                          std::span<const AppliedRecord> records);
template void Linear::run_gated(Tensor out, Tensor x, const Int8Weight& weight, std::span<const float> bias, Tensor z,
                                std::span<const AppliedRecord> records, Activation activation);
template void Linear::run(Tensor y, Tensor x, const Int4Weight& weight, std::span<const float> bias, Tensor z,
                          std::span<const AppliedRecord> records);
template void Linear::run_gated(Tensor out, Tensor x, const Int4Weight& weight, std::span<const float> bias, Tensor z,
                                std::span<const AppliedRecord> records, Activation activation);
template void Linear::run(Tensor y, Tensor x, const Int4Int8Weight& weight, std::span<const float> bias, Tensor z,
                          std::span<const AppliedRecord> records);
template void Linear::run_gated(Tensor out, Tensor x, const Int4Int8Weight& weight, std::span<const float> bias, Tensor z,
                                std::span<const AppliedRecord> records, Activation activation);
template void Linear::run(Tensor y, Tensor x, const Int8Bf16Weight& weight, std::span<const float> bias, Tensor z,
                          std::span<const AppliedRecord> records);
template void Linear::run_gated(Tensor out, Tensor x, const Int8Bf16Weight& weight, std::span<const float> bias, Tensor z,
                                std::span<const AppliedRecord> records, Activation activation);

}  // namespace slora::cpu
