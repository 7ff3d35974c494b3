#include "kernels/cpu/linear.h"

#include <algorithm>

namespace slora::cpu {
namespace {

constexpr std::int64_t kTurnPanels = 4;  // at most: as many as a block holds

}  // namespace

void Linear::run(Tensor y, Tensor x, const PackedWeight& weight, std::span<const float> bias, Tensor z,
                 std::span<const AppliedRecord> records) {
  check(x.dtype == DType::bf16 && y.dtype == DType::f32, "x in bf16, y in fp32");
  tiles_.clear();
  expands_.clear();
  first_tiles_.clear();
  tiles_.add(x, 0);
  const std::size_t x_tile_count = tiles_.count();
  for (const AppliedRecord& applied : records) {
    const std::size_t first = tiles_.count();
    if (applied.record->rank > 0) {
      check(applied.record->b.dtype == DType::bf16, "B in bf16");
      tiles_.add(z.rows_from(applied.row_begin, applied.row_count).cols_from(applied.z_begin, applied.record->rank), applied.row_begin,
                 applied.weight * applied.record->scale);
    }
    first_tiles_.push_back(first);
    expands_.push_back({&applied, nullptr, tiles_.count() - first});
  }
  tiles_.pack(pool_);
  for (std::size_t i = 0; i < expands_.size(); ++i) expands_[i].z_tiles = tiles_.tile(first_tiles_[i]);

  const LinearCall call{y, weight, tiles_.tile(0), x_tile_count, bias, expands_};
  pool_.parallel_ranges(weight.panel_count(), kTurnPanels,
                        [&](std::int64_t begin, std::int64_t end, int) { kernels_.linear_columns(call, begin, end); });
}

}  // namespace slora::cpu
