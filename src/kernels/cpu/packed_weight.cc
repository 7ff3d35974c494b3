#include "kernels/cpu/packed_weight.h"

#include <algorithm>
#include <array>

namespace slora::cpu {
namespace {

constexpr std::int64_t kBlockPairs = 128;  // 32 rows of them: 16 KiB, which stays in the first cache while the panel's rows go by

// Words of `pairs` bf16 pairs from `count` elements of a row; a missing last element is 0.
void read_pairs(std::uint32_t* out, const std::byte* row, DType dtype, std::int64_t begin, std::int64_t count) {
  std::array<float, 2 * kBlockPairs + 1> wide;
  const std::byte* from = row + begin * static_cast<std::int64_t>(bytes_of(dtype));
  if (dtype == DType::bf16) {
    const auto* halves = reinterpret_cast<const Bfloat16*>(from);
    for (std::int64_t i = 0; i < count / 2; ++i) out[i] = halves[2 * i].bits | static_cast<std::uint32_t>(halves[2 * i + 1].bits) << 16;
    if (count % 2 != 0) out[count / 2] = halves[count - 1].bits;
    return;
  }
  convert_to_float(wide.data(), from, dtype, static_cast<std::size_t>(count));
  wide[static_cast<std::size_t>(count)] = 0;
  for (std::int64_t i = 0; i < (count + 1) / 2; ++i) {
    const float* pair = wide.data() + 2 * i;
    out[i] = to_bfloat16(pair[0]).bits | static_cast<std::uint32_t>(to_bfloat16(pair[1]).bits) << 16;
  }
}

}  // namespace

void pack_rows(const PackedWeight& weight, std::int64_t row_begin, Tensor rows) {
  check(row_begin >= 0 && row_begin + rows.rows <= weight.out && rows.cols == weight.in, "rows of the weight");
  std::array<std::uint32_t, kBlockPairs> words;
  for (std::int64_t n = row_begin; n < row_begin + rows.rows;) {
    std::uint32_t* panel = weight.panel(n / PackedWeight::kPanelCols);
    const std::int64_t panel_end = std::min(row_begin + rows.rows, (n / PackedWeight::kPanelCols + 1) * PackedWeight::kPanelCols);
    for (std::int64_t begin = 0; begin < weight.in; begin += 2 * kBlockPairs) {
      const std::int64_t count = std::min(2 * kBlockPairs, weight.in - begin);
      for (std::int64_t row = n; row < panel_end; ++row) {
        read_pairs(words.data(), rows.row_bytes(row - row_begin), rows.dtype, begin, count);
        std::uint32_t* out = panel + begin / 2 * PackedWeight::kPanelCols + row % PackedWeight::kPanelCols;
        for (std::int64_t i = 0; i < (count + 1) / 2; ++i) out[i * PackedWeight::kPanelCols] = words[static_cast<std::size_t>(i)];
      }
    }
    n = panel_end;
  }
}

}  // namespace slora::cpu
