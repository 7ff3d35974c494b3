#include "kernels/cpu/packed_weight.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace slora::cpu {
namespace {

constexpr std::int64_t kBlockPairs = 128;  // of 32 rows: 16 KiB of a panel, which stay in the first-level cache while its rows are written
constexpr std::int64_t kSide = 4;          // of the square blocks of words that are transposed in registers

using Square [[gnu::vector_size(16)]] = std::uint32_t;
using RowWords = std::array<std::uint32_t, kBlockPairs>;

// Reads `count` elements of a row as pairs of bf16; a missing last element is 0.
void read_pairs(RowWords& out, const std::byte* row, DType dtype, std::int64_t begin, std::int64_t count) {
  const std::byte* from = row + begin * static_cast<std::int64_t>(bytes_of(dtype));
  const auto size = static_cast<std::size_t>(count);
  if (count % 2 != 0) out[size / 2] = 0;
  if (dtype == DType::bf16) {
    std::memcpy(out.data(), from, size * sizeof(Bfloat16));
    return;
  }
  std::array<float, 2 * kBlockPairs> wide;
  convert_to_float(wide.data(), from, dtype, size);
  convert_from_float(out.data(), DType::bf16, wide.data(), size);
}

// out [4 pairs, 4 rows], with pairs a panel's width apart, = the transpose of rows [4, 4 pairs].
void transpose_square(std::uint32_t* out, const RowWords* rows, std::int64_t pair) {
  Square a, b, c, d;
  std::memcpy(&a, rows[0].data() + pair, sizeof a);
  std::memcpy(&b, rows[1].data() + pair, sizeof b);
  std::memcpy(&c, rows[2].data() + pair, sizeof c);
  std::memcpy(&d, rows[3].data() + pair, sizeof d);
  constexpr Square kLow{0, 4, 1, 5}, kHigh{2, 6, 3, 7}, kFirst{0, 1, 4, 5}, kSecond{2, 3, 6, 7};
  const Square ab_low = __builtin_shuffle(a, b, kLow), ab_high = __builtin_shuffle(a, b, kHigh);
  const Square cd_low = __builtin_shuffle(c, d, kLow), cd_high = __builtin_shuffle(c, d, kHigh);
  const std::array<Square, kSide> transposed{__builtin_shuffle(ab_low, cd_low, kFirst), __builtin_shuffle(ab_low, cd_low, kSecond),
                                             __builtin_shuffle(ab_high, cd_high, kFirst), __builtin_shuffle(ab_high, cd_high, kSecond)};
  for (const Square& square : transposed) {
    std::memcpy(out, &square, sizeof square);
    out += PackedWeight::kPanelCols;
  }
}

// Writes `pairs` words of `count` rows into as many neighbouring columns of a panel; out: the column of the first row.
void transpose_rows(std::uint32_t* out, const RowWords* rows, std::int64_t count, std::int64_t pairs) {
  const std::int64_t whole = count == kSide ? pairs / kSide * kSide : 0;
  for (std::int64_t pair = 0; pair < whole; pair += kSide) transpose_square(out + pair * PackedWeight::kPanelCols, rows, pair);
  for (std::int64_t row = 0; row < count; ++row) {
    for (std::int64_t pair = whole; pair < pairs; ++pair)
      out[pair * PackedWeight::kPanelCols + row] = rows[row][static_cast<std::size_t>(pair)];
  }
}

}  // namespace

void pack_rows(const PackedWeight& weight, std::int64_t row_begin, Tensor rows) {
  check(row_begin >= 0 && row_begin + rows.rows <= weight.out && rows.cols == weight.in, "expected rows within the weight");
  std::array<RowWords, kSide> words;
  for (std::int64_t n = row_begin; n < row_begin + rows.rows;) {
    std::uint32_t* panel = weight.panel(n / PackedWeight::kPanelCols);
    const std::int64_t panel_end = std::min(row_begin + rows.rows, (n / PackedWeight::kPanelCols + 1) * PackedWeight::kPanelCols);
    for (std::int64_t begin = 0; begin < weight.in; begin += 2 * kBlockPairs) {
      const std::int64_t count = std::min(2 * kBlockPairs, weight.in - begin);
      for (std::int64_t row = n; row < panel_end; row += kSide) {
        const std::int64_t side = std::min(kSide, panel_end - row);
        for (std::int64_t i = 0; i < side; ++i)
          read_pairs(words[static_cast<std::size_t>(i)], rows.row_bytes(row + i - row_begin), rows.dtype, begin, count);
        transpose_rows(panel + begin / 2 * PackedWeight::kPanelCols + row % PackedWeight::kPanelCols, words.data(), side, (count + 1) / 2);
      }
    }
    n = panel_end;
  }
}

}  // namespace slora::cpu
