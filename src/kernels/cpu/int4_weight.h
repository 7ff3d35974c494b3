#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/int4.h"
#include "tensor/tensor.h"

namespace slora::cpu {

// W [out, in] in four bits (tensor/int4.h) in the layout of products. Panels of 32 outputs; within a panel, for group after group of 32
// inputs, [4, 32] words of 8 levels (byte b of word i of an output: input 4i + b in the low half, 16 + 4i + b in the high half), then [32]
// scales and [32] offsets in f16, so that reading is one pass over memory. Everything beyond in or out is 0. A view; owns nothing.
struct Int4Weight {
  static constexpr std::int64_t kPanelCols = 32;
  static constexpr std::int64_t kGroup = kInt4Group;
  static constexpr std::int64_t kGroupQuads = kGroup / 4;
  static constexpr std::int64_t kGroupSteps = 4;  // of the inner loop of products, each over two quads
  static constexpr std::int64_t kGroupWords = (kGroupSteps + 1) * kPanelCols;
  static constexpr std::int64_t kBlockGroups = 44;  // 28 KiB of a panel
  static constexpr std::int64_t kStepBytes = kGroupWords / kGroupSteps * static_cast<std::int64_t>(sizeof(std::uint32_t));
  static constexpr bool kIsRotated = false;  // as in Int8Weight

  std::uint32_t* words = nullptr;
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::int64_t first_panel = 0;  // the one at `words`: those before it are of another weight (mixed_weight.h)

  [[nodiscard]] std::int64_t group_count() const { return (in + kGroup - 1) / kGroup; }
  [[nodiscard]] std::int64_t panel_count() const { return (out + kPanelCols - 1) / kPanelCols; }
  [[nodiscard]] std::int64_t panel_words() const { return group_count() * kGroupWords; }
  [[nodiscard]] std::uint32_t* panel(std::int64_t index) const { return words + (index - first_panel) * panel_words(); }
  [[nodiscard]] std::uint32_t* group(std::int64_t panel_index, std::int64_t index) const {
    return panel(panel_index) + index * kGroupWords;
  }
  // Words of four inputs in a group: also of the last one, whose missing inputs have words of zeros.
  [[nodiscard]] static constexpr std::int64_t quads_for(std::int64_t /*inputs*/) { return kGroupQuads; }
  [[nodiscard]] std::int64_t quads_of(std::int64_t /*group_index*/) const { return kGroupQuads; }
  // The first of a group's scales; the offsets follow.
  [[nodiscard]] static Float16* scales(std::uint32_t* group) { return reinterpret_cast<Float16*>(group + kGroupSteps * kPanelCols); }
  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>((panel_count() - first_panel) * panel_words()) * sizeof(std::uint32_t);
  }
};

// Writes rows [row_begin, row_begin + rows.rows) of W, given in f32, f16 or bf16: how many of their numbers are in groups that are kept to
// the bit. `squares` as in round_to_int4(), [in] or empty. A group with NaN or infinity makes every product with it NaN. Requires: the
// memory was zero before.
std::int64_t pack_rows(const Int4Weight& weight, std::int64_t row_begin, Tensor rows, std::span<const float> squares);

}  // namespace slora::cpu
