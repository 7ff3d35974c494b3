#pragma once
#include <cstddef>
#include <cstdint>

#include "tensor/tensor.h"

namespace slora::cpu {

// W [out, in] in bytes in the layout of products, with a scale for every output and group of kGroup inputs: W[n, k] is scale[n, k / kGroup]
// * (byte[n, k] - 128), of inputs that are rotated group by group (rotation.h). Panels of 32 outputs; within a panel, group after group,
// each [quads, 32] words of four bytes (W[n, 4k] in the lowest) followed by [32] scales in bf16, so that reading is one pass over memory.
// quads = kGroup / 4, in the last group ceil(its inputs / 4). Bytes beyond `in` may have any value; everything beyond `out` is 0. A view;
// owns nothing.
struct Int8Weight {
  static constexpr std::int64_t kPanelCols = 32;
  static constexpr std::int64_t kGroup = 128;
  static constexpr std::int64_t kGroupQuads = kGroup / 4;
  static constexpr std::int64_t kGroupSteps = kGroupQuads;  // of the inner loop of products
  static constexpr std::int64_t kScaleWords = kPanelCols / 2;
  static constexpr std::int64_t kBlockGroups = 7;  // 28 KiB of a panel
  static constexpr std::int64_t kStepBytes = kPanelCols * static_cast<std::int64_t>(sizeof(std::uint32_t));
  static constexpr bool kIsRotated = true;  // so that rows that it is multiplied by are rotated too

  std::uint32_t* words = nullptr;
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::int64_t first_panel = 0;  // the one at `words`: those before it are of another weight (mixed_weight.h)

  [[nodiscard]] static constexpr std::int64_t words_of(std::int64_t quads) { return quads * kPanelCols + kScaleWords; }
  [[nodiscard]] std::int64_t group_count() const { return (in + kGroup - 1) / kGroup; }
  [[nodiscard]] std::int64_t panel_count() const { return (out + kPanelCols - 1) / kPanelCols; }
  [[nodiscard]] std::int64_t panel_words() const { return (in + 3) / 4 * kPanelCols + group_count() * kScaleWords; }
  [[nodiscard]] std::uint32_t* panel(std::int64_t index) const { return words + (index - first_panel) * panel_words(); }
  [[nodiscard]] std::uint32_t* group(std::int64_t panel_index, std::int64_t index) const {
    return panel(panel_index) + index * words_of(kGroupQuads);
  }
  // Words of four inputs in a group.
  [[nodiscard]] static constexpr std::int64_t quads_for(std::int64_t inputs) { return (inputs + 3) / 4; }
  // The number of words of four inputs in this group.
  [[nodiscard]] std::int64_t quads_of(std::int64_t group_index) const {
    const std::int64_t rest = (in + 3) / 4 - group_index * kGroupQuads;
    return rest < kGroupQuads ? rest : kGroupQuads;
  }
  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>((panel_count() - first_panel) * panel_words()) * sizeof(std::uint32_t);
  }
};

// Writes rows [row_begin, row_begin + rows.rows) of W, given in f32, f16 or bf16. Each group is rotated back and then rounded to 255 levels
// symmetric about 0, the outermost at its largest magnitude. A group with NaN or infinity makes every product with it NaN. Requires: the
// memory was zero before.
void pack_rows(const Int8Weight& weight, std::int64_t row_begin, Tensor rows);

}  // namespace slora::cpu
