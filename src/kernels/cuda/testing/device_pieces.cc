#include "kernels/cuda/testing/device_pieces.h"

#include <algorithm>

namespace slora::cuda {
namespace {

constexpr std::int32_t kColumnBlock = 64;

}  // namespace

void DevicePieces::add(std::int32_t rows, std::int32_t cols, const std::vector<float>& values) {
  const bool cuts_rows = alignment_ == MatrixAlignment::any && case_.one_in(3);
  for (std::int32_t row = 0; row < rows;) {
    const std::int32_t count = cuts_rows ? 1 : case_.one_in(2) ? rows - row : case_.draw(1, rows - row);
    for (std::int32_t col = 0; col < cols;) {
      const std::int32_t col_count = cuts_rows ? std::min(cols - col, kColumnBlock * case_.draw(1, 2)) : cols;
      add_piece({nullptr, row, count, col, col_count}, cols, values);
      col += col_count;
    }
    row += count;
  }
}

void DevicePieces::add_piece(MatrixPiece piece, std::int32_t cols, const std::vector<float>& values) {
  std::vector<Bfloat16> stored;
  for (std::int32_t row = piece.row_begin; row < piece.row_begin + piece.row_count; ++row) {
    for (std::int32_t col = piece.col_begin; col < piece.col_begin + piece.col_count; ++col) {
      stored.push_back(to_bfloat16(values[static_cast<std::size_t>(row) * static_cast<std::size_t>(cols) + static_cast<std::size_t>(col)]));
    }
  }
  memory_.push_back(std::make_unique<emulator::DeviceArray<Bfloat16>>(case_.device(), stored));
  piece.data = memory_.back()->data();
  pieces_.push_back(piece);
}

}  // namespace slora::cuda
