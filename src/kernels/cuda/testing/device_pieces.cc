#include "kernels/cuda/testing/device_pieces.h"

#include <algorithm>

namespace slora::cuda {
namespace {

constexpr std::int32_t kColumnBlock = 64;

}  // namespace

DevicePieces::Matrix DevicePieces::add(std::int32_t rows, std::int32_t cols, const std::vector<float>& values) {
  std::vector<MatrixPiece> pieces;
  const bool cuts_rows = cuts_ == Cuts::columns || (cuts_ == Cuts::any && case_.one_in(3));
  for (std::int32_t row = 0; row < rows;) {
    const std::int32_t count = cuts_rows ? 1 : case_.one_in(2) ? rows - row : case_.draw(1, rows - row);
    for (std::int32_t col = 0; col < cols;) {
      const std::int32_t col_count = cuts_rows ? std::min(cols - col, kColumnBlock * case_.draw(1, 2)) : cols;
      pieces.push_back(make_piece({nullptr, row, count, col, col_count}, cols, values));
      col += col_count;
    }
    row += count;
  }
  if (pieces.size() == 1 && case_.one_in(2)) return {pieces.front().data, nullptr};
  pieces_.push_back(std::make_unique<emulator::DeviceArray<MatrixPiece>>(case_.device(), pieces));
  return {nullptr, pieces_.back()->data()};
}

MatrixPiece DevicePieces::make_piece(MatrixPiece piece, std::int32_t cols, const std::vector<float>& values) {
  // Now and then at no multiple of 16 bytes, where readers may rely on none.
  const std::ptrdiff_t offset = cuts_ != Cuts::between_rows && case_.one_in(3) ? 2 : 0;
  std::vector<Bfloat16> stored(static_cast<std::size_t>(offset));
  for (std::int32_t row = piece.row_begin; row < piece.row_begin + piece.row_count; ++row) {
    for (std::int32_t col = piece.col_begin; col < piece.col_begin + piece.col_count; ++col) {
      stored.push_back(to_bfloat16(values[static_cast<std::size_t>(row) * static_cast<std::size_t>(cols) + static_cast<std::size_t>(col)]));
    }
  }
  memory_.push_back(std::make_unique<emulator::DeviceArray<Bfloat16>>(case_.device(), stored));
  piece.data = memory_.back()->data() + offset;
  return piece;
}

const float* DeviceVectors::add(const std::vector<float>& values) {
  if (values.empty()) return nullptr;
  memory_.push_back(std::make_unique<emulator::DeviceArray<float>>(case_.device(), values));
  return memory_.back()->data();
}

const LoraGains* DeviceVectors::add_gains(const LoraGains& gains) {
  const bool has_some = gains.input_gain != nullptr || gains.rank_gain != nullptr || gains.delta_gain != nullptr || gains.gain != nullptr ||
                        gains.hadamard_rank > 0;
  if (!has_some && case_.one_in(2)) return nullptr;
  gains_.push_back(std::make_unique<emulator::DeviceArray<LoraGains>>(case_.device(), std::vector<LoraGains>{gains}));
  return gains_.back()->data();
}

LoraTable DeviceTables::add(std::vector<LoraRecord> records) {
  for (std::int32_t i = case_.draw(0, 1); i > 0; --i) records.emplace_back();
  const auto per_layer = static_cast<std::int32_t>(records.size());
  std::vector<LoraRecord> all(static_cast<std::size_t>(layers_ * per_layer),
                              LoraRecord{.out = 1 << 20, .shrink_rank = 500, .expand_rank = 500});
  std::ranges::copy(records, all.begin() + layer_ * per_layer);
  memory_.push_back(std::make_unique<emulator::DeviceArray<LoraRecord>>(case_.device(), all));
  return {memory_.back()->data(), per_layer};
}

}  // namespace slora::cuda
