#include "kernels/cpu/int8_weight.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "kernels/cpu/rotation.h"

namespace slora::cpu {
namespace {

constexpr std::uint32_t kMagnitude = 0x7fffffffu;
constexpr std::uint32_t kNan = 0x7fc00000u;
constexpr float kScaleMin = 0x1p-100f;  // below this, 1 / scale might overflow: such a group becomes 0
constexpr float kMagic = 12582912.0f;   // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits

static_assert(Int8Weight::kGroup <= kRotatedMax);

using Group = std::array<float, Int8Weight::kGroup>;
using GroupBytes = std::array<std::uint8_t, Int8Weight::kGroup>;

// The scale that maps `largest`, the bits of a magnitude, to 127 or just below it. Any NaN becomes one that bf16 can represent.
Bfloat16 scale_of(std::uint32_t largest) {
  const float scale = std::bit_cast<float>(largest) / 127.0f;
  if (scale < kScaleMin) return {0};
  return {static_cast<std::uint16_t>((std::min(std::bit_cast<std::uint32_t>(scale), kNan) + 0xffffu) >> 16)};
}

Bfloat16 quantise(GroupBytes& out, const Group& values) {
  std::uint32_t largest = 0;  // of magnitudes, compared by their bits: these have the order of the numbers, and NaN is above all
  for (const float value : values) largest = std::max(largest, std::bit_cast<std::uint32_t>(value) & kMagnitude);
  const Bfloat16 scale = scale_of(largest);
  const float inverse = scale.bits == 0 ? 0.0f : 1.0f / to_float(scale);
  for (std::size_t i = 0; i < values.size(); ++i) {
    out[i] = static_cast<std::uint8_t>((std::bit_cast<std::uint32_t>(values[i] * inverse + kMagic) & 0xffu) ^ 0x80u);
  }
  return scale;
}

}  // namespace

void pack_rows(const Int8Weight& weight, std::int64_t row_begin, Tensor rows) {
  check(row_begin >= 0 && row_begin + rows.rows <= weight.out && rows.cols == weight.in, "expected rows within the weight");
  Group values{};
  GroupBytes bytes;
  for (std::int64_t n = row_begin; n < row_begin + rows.rows;) {
    const std::int64_t panel = n / Int8Weight::kPanelCols;
    const std::int64_t panel_end = std::min(row_begin + rows.rows, (panel + 1) * Int8Weight::kPanelCols);
    for (std::int64_t group = 0; group < weight.group_count(); ++group) {
      const std::int64_t begin = group * Int8Weight::kGroup;
      const auto count = static_cast<std::size_t>(std::min(Int8Weight::kGroup, weight.in - begin));
      std::fill(values.begin() + static_cast<std::ptrdiff_t>(count), values.end(), 0.0f);
      std::uint32_t* words = weight.group(panel, group);
      const std::int64_t quads = weight.quads_of(group);
      for (std::int64_t row = n; row < panel_end; ++row) {
        const std::byte* from = rows.row_bytes(row - row_begin) + begin * static_cast<std::int64_t>(bytes_of(rows.dtype));
        convert_to_float(values.data(), from, rows.dtype, count);
        rotate_back(values.data(), static_cast<std::int64_t>(count));
        const Bfloat16 scale = quantise(bytes, values);
        const std::int64_t col = row % Int8Weight::kPanelCols;
        for (std::int64_t i = 0; i < quads; ++i) std::memcpy(words + i * Int8Weight::kPanelCols + col, bytes.data() + 4 * i, 4);
        reinterpret_cast<Bfloat16*>(words + quads * Int8Weight::kPanelCols)[col] = scale;
      }
    }
    n = panel_end;
  }
}

}  // namespace slora::cpu
