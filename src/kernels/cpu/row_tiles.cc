#include "kernels/cpu/row_tiles.h"

#include <algorithm>

#include "kernels/cpu/kernels.h"

namespace slora::cpu {
namespace {

constexpr std::int64_t kParallelWords = 8192;  // packing fewer takes less time than waking a thread
constexpr std::int64_t kItemPairs = 512;

// A single row of bf16 with an even length already has the layout of a tile of words.
bool is_packed(const RowTile& tile) { return tile.pair_stride == 1 && tile.source.dtype == DType::bf16 && tile.source.cols % 2 == 0; }

}  // namespace

void RowTiles::clear() {
  tiles_.clear();
  offsets_.clear();
  items_.clear();
  words_count_ = 0;
}

std::size_t RowTiles::add(Tensor source, std::int64_t row_begin, float factor) {
  const std::size_t first = tiles_.size();
  const std::int64_t tile_count = (source.rows + kernels_.tile_rows - 1) / kernels_.tile_rows;
  const std::int64_t pairs = (source.cols + 1) / 2;
  for (std::int64_t i = 0; i < tile_count; ++i) {
    const std::int64_t begin = source.rows * i / tile_count;
    const std::int64_t end = source.rows * (i + 1) / tile_count;
    const std::int64_t stride = (end - begin) * kernels_.pair_words;
    tiles_.push_back({source.rows_from(begin, end - begin), row_begin + begin, static_cast<int>(end - begin), factor, stride, nullptr});
    offsets_.push_back(words_count_);
    if (is_packed(tiles_.back())) continue;
    words_count_ += (pairs * stride + kLineWords - 1) / kLineWords * kLineWords;
    for (std::int64_t pair = 0; pair < pairs; pair += kItemPairs) items_.push_back({tiles_.size() - 1, pair});
  }
  return first;
}

void RowTiles::pack(ThreadPool& pool) {
  auto* words = scratch_.take<std::uint32_t>(static_cast<std::size_t>(words_count_));
  const auto pack_item = [&](std::int64_t index, int) {
    const WorkItem& item = items_[static_cast<std::size_t>(index)];
    const RowTile& tile = tiles_[item.tile];
    std::uint32_t* out = words + offsets_[item.tile];
    const std::int64_t pairs = (tile.source.cols + 1) / 2;
    kernels_.pack_rows(out, tile, item.pair_begin, std::min(pairs, item.pair_begin + kItemPairs));
  };
  for (std::size_t i = 0; i < tiles_.size(); ++i) {
    tiles_[i].words = is_packed(tiles_[i]) ? tiles_[i].source.row<const std::uint32_t>(0) : words + offsets_[i];
  }
  const auto count = static_cast<std::int64_t>(items_.size());
  if (words_count_ >= kParallelWords) return pool.parallel_for(count, pack_item);
  for (std::int64_t index = 0; index < count; ++index) pack_item(index, 0);
}

}  // namespace slora::cpu
