#pragma once
#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace slora {

// A matrix [rows, cols] in several pieces: tiles that cover it without overlap, each contiguous in one page of the pool, row after row. The
// matrices of adapters have this form. `rows` and `cols` count stored rows and stored elements
// per row (an interleaved matrix [r, out] with pairs of rows has ceil(r / 2) rows of 2 x out elements).
struct Tile {
  const std::byte* data;
  std::int32_t row_begin, row_count;
  std::int32_t col_begin, col_count;  // row_count rows of col_count elements, contiguous
};
struct TiledMatrix {
  const Tile* tiles = nullptr;  // ordered by (row_begin, col_begin)
  std::int32_t tile_count = 0;
  std::int32_t rows = 0;
  std::int32_t cols = 0;
  DType dtype = DType::f32;

  [[nodiscard]] const Tile* begin() const { return tiles; }
  [[nodiscard]] const Tile* end() const { return tiles + tile_count; }
  [[nodiscard]] bool empty() const { return tile_count == 0; }
};

}  // namespace slora
