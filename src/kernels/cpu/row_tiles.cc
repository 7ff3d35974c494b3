#include "kernels/cpu/row_tiles.h"

namespace slora::cpu {
namespace {

constexpr std::int64_t kParallelWords = 8192;  // fewer are packed sooner than a thread is woken
constexpr std::int64_t kLineWords = 16;

std::uint32_t bits_of(float value) { return to_bfloat16(value).bits; }
std::uint32_t bits_of(Bfloat16 value) { return value.bits; }

template <class T>
void pack_tile(std::uint32_t* out, const RowTile& tile) {
  const std::int64_t cols = tile.source.cols;
  for (int r = 0; r < tile.rows; ++r) {
    const T* row = tile.source.row<T>(r);
    for (std::int64_t i = 0; i < cols / 2; ++i) out[i * tile.rows + r] = bits_of(row[2 * i]) | bits_of(row[2 * i + 1]) << 16;
    if (cols % 2 != 0) out[cols / 2 * tile.rows + r] = bits_of(row[cols - 1]);
  }
}

// One row of bf16 pairs is its own tile.
bool is_packed(const RowTile& tile) { return tile.rows == 1 && tile.source.dtype == DType::bf16 && tile.source.cols % 2 == 0; }

}  // namespace

void RowTiles::clear() {
  tiles_.clear();
  offsets_.clear();
  words_count_ = 0;
}

std::size_t RowTiles::add(Tensor source, std::int64_t row_begin) {
  const std::size_t first = tiles_.size();
  const std::int64_t tile_count = (source.rows + tile_rows_ - 1) / tile_rows_;
  const std::int64_t pairs = (source.cols + 1) / 2;
  for (std::int64_t i = 0; i < tile_count; ++i) {
    const std::int64_t begin = source.rows * i / tile_count;
    const std::int64_t end = source.rows * (i + 1) / tile_count;
    tiles_.push_back({source.rows_from(begin, end - begin), row_begin + begin, static_cast<int>(end - begin), nullptr});
    offsets_.push_back(words_count_);
    if (!is_packed(tiles_.back())) words_count_ += (pairs * (end - begin) + kLineWords - 1) / kLineWords * kLineWords;
  }
  return first;
}

void RowTiles::pack(ThreadPool& pool) {
  auto* words = scratch_.take<std::uint32_t>(static_cast<std::size_t>(words_count_));
  const auto pack_one = [&](std::int64_t index, int) {
    RowTile& tile = tiles_[static_cast<std::size_t>(index)];
    if (is_packed(tile)) {
      tile.words = tile.source.row<const std::uint32_t>(0);
      return;
    }
    std::uint32_t* out = words + offsets_[static_cast<std::size_t>(index)];
    tile.words = out;
    if (tile.source.dtype == DType::bf16) {
      pack_tile<Bfloat16>(out, tile);
    } else {
      pack_tile<float>(out, tile);
    }
  };
  const auto count = static_cast<std::int64_t>(tiles_.size());
  if (words_count_ >= kParallelWords) return pool.parallel_for(count, pack_one);
  for (std::int64_t index = 0; index < count; ++index) pack_one(index, 0);
}

}  // namespace slora::cpu
