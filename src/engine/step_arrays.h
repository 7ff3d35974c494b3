#pragma once
#include <cstddef>
#include <cstdint>

namespace slora {

// Whether the length of a step's array follows from the step's shape, or is any: page tables and the lists of sampling.
enum class ArrayKind : std::uint8_t { shaped, list };

// The size to which a step of this many rows is padded, where steps are replayed: few sizes, and never much larger.
constexpr std::size_t padded_rows(std::size_t rows) {
  if (rows <= 8) {
    std::size_t size = 1;
    while (size < rows) size *= 2;
    return size;
  }
  const std::size_t unit = rows <= 64 ? 8 : rows <= 128 ? 16 : rows <= 256 ? 32 : 64;
  return (rows + unit - 1) / unit * unit;
}

}  // namespace slora
