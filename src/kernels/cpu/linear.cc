#include "kernels/cpu/linear.h"

#include <algorithm>

namespace slora::cpu {
namespace {

// Panels that a thread takes at once: as many as a block holds, unless threads would then wait for the last to end.
std::int64_t panels_per_turn(std::int64_t panel_count, std::int64_t threads) {
  constexpr std::int64_t kPanelsMax = 4;
  for (std::int64_t panels = kPanelsMax; panels > 1; --panels) {
    const std::int64_t turns = (panel_count + panels - 1) / panels;
    const std::int64_t longest = (turns + threads - 1) / threads * panels;
    if (longest * threads <= panel_count + panel_count / 16) return panels;
  }
  return 1;
}

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
  const std::int64_t panels = weight.panel_count();
  const std::int64_t step = panels_per_turn(panels, pool_.thread_count());
  pool_.parallel_for((panels + step - 1) / step,
                     [&](std::int64_t turn, int) { kernels_.linear_columns(call, turn * step, std::min((turn + 1) * step, panels)); });
}

}  // namespace slora::cpu
