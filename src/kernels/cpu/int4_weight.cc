#include "kernels/cpu/int4_weight.h"

#include <algorithm>
#include <array>

namespace slora::cpu {

std::int64_t pack_rows(const Int4Weight& weight, std::int64_t row_begin, Tensor rows, std::span<const float> squares) {
  check(row_begin >= 0 && row_begin + rows.rows <= weight.out && rows.cols == weight.in, "expected rows within the weight");
  std::array<float, Int4Weight::kGroup> numbers;
  std::int64_t kept = 0;
  for (std::int64_t row = row_begin; row < row_begin + rows.rows; ++row) {
    const std::int64_t panel = row / Int4Weight::kPanelCols, col = row % Int4Weight::kPanelCols;
    for (std::int64_t group = 0; group < weight.group_count(); ++group) {
      const std::int64_t begin = group * Int4Weight::kGroup;
      const auto count = static_cast<std::size_t>(std::min(Int4Weight::kGroup, weight.in - begin));
      const std::byte* from = rows.row_bytes(row - row_begin) + begin * static_cast<std::int64_t>(bytes_of(rows.dtype));
      convert_to_float(numbers.data(), from, rows.dtype, count);
      const Int4Group rounded = round_to_int4(std::span(numbers).first(count),
                                              squares.empty() ? squares : squares.subspan(static_cast<std::size_t>(begin), count));
      if (rounded.has(std::span(numbers).first(count))) kept += static_cast<std::int64_t>(count);
      std::uint32_t* words = weight.group(panel, group);
      for (std::int64_t step = 0; step < Int4Weight::kGroupSteps; ++step) {
        std::uint32_t word = 0;
        for (int byte = 0; byte < 4; ++byte) {
          const auto low = static_cast<std::size_t>(4 * step + byte), high = low + Int4Weight::kGroup / 2;
          word |= static_cast<std::uint32_t>(rounded.levels[low] | rounded.levels[high] << 4) << (8 * byte);
        }
        words[step * Int4Weight::kPanelCols + col] = word;
      }
      Int4Weight::scales(words)[col] = rounded.scale;
      Int4Weight::scales(words)[Int4Weight::kPanelCols + col] = rounded.offset;
    }
  }
  return kept;
}

}  // namespace slora::cpu
