#pragma once
#include <cstddef>
#include <cstdint>

#include "tensor/tensor.h"

namespace slora::cpu {

// W [out, in] in bf16 in the layout of products: panels of 32 outputs, each [pairs, 32] words of the bf16 pair (W[n, 2k], W[n, 2k + 1]);
// pairs = ceil(in / 2). Elements beyond out or in are 0. A view; owns nothing.
struct PackedWeight {
  static constexpr std::int64_t kPanelCols = 32;

  std::uint32_t* words = nullptr;
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::int64_t first_panel = 0;  // the one at `words`: those before it are of another weight (mixed_weight.h)

  [[nodiscard]] std::int64_t pairs() const { return (in + 1) / 2; }
  [[nodiscard]] std::int64_t panel_count() const { return (out + kPanelCols - 1) / kPanelCols; }
  [[nodiscard]] std::int64_t panel_words() const { return pairs() * kPanelCols; }
  [[nodiscard]] std::uint32_t* panel(std::int64_t index) const { return words + (index - first_panel) * panel_words(); }
  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>((panel_count() - first_panel) * panel_words()) * sizeof(std::uint32_t);
  }
};

// Writes rows [row_begin, row_begin + rows.rows) of W, given in f32, f16 or bf16, rounded to bf16. Requires: the memory was zero before.
void pack_rows(const PackedWeight& weight, std::int64_t row_begin, Tensor rows);

}  // namespace slora::cpu
