#include "kernels/cpu/int8_rows.h"

#include <algorithm>

#include "kernels/cpu/kernels.h"

namespace slora::cpu {
namespace {

constexpr std::int64_t kParallelElements = 16384;  // packing fewer takes less time than waking a thread
constexpr std::int64_t kItemInputs = 512;

}  // namespace

template <class Weight>
std::span<const ByteRowTile<Weight>> ByteRows<Weight>::pack(Tensor x, ThreadPool& pool) {
  const ByteKernels<Weight>& kernels = kernels_.of<Weight>();
  const std::int64_t tile_count = (x.rows + kernels.tile_rows - 1) / kernels.tile_rows;
  const std::int64_t group_count = (x.cols + Weight::kGroup - 1) / Weight::kGroup;
  const std::int64_t row_words = group_count * (Weight::kGroupQuads + ByteRowTile<Weight>::kTailWords);
  const std::int64_t tile_words = (row_words * kernels.tile_rows + kLineWords - 1) / kLineWords * kLineWords;
  auto* words = scratch_.take<std::uint32_t>(static_cast<std::size_t>(tile_count * tile_words));
  tiles_.clear();
  for (std::int64_t i = 0; i < tile_count; ++i) {
    const std::int64_t begin = x.rows * i / tile_count;
    const std::int64_t end = x.rows * (i + 1) / tile_count;
    tiles_.push_back({x.rows_from(begin, end - begin), begin, static_cast<int>(end - begin), words + i * tile_words});
  }
  constexpr std::int64_t kItemGroups = kItemInputs / Weight::kGroup;
  const std::int64_t items_per_tile = (group_count + kItemGroups - 1) / kItemGroups;
  const auto pack_item = [&](std::int64_t item, int) {
    const std::int64_t begin = item % items_per_tile * kItemGroups;
    kernels.quantise(tiles_[static_cast<std::size_t>(item / items_per_tile)], begin, std::min(begin + kItemGroups, group_count));
  };
  const std::int64_t items = tile_count * items_per_tile;
  if (x.rows * x.cols >= kParallelElements) {
    pool.parallel_for(items, pack_item);
  } else {
    for (std::int64_t item = 0; item < items; ++item) pack_item(item, 0);
  }
  return tiles_;
}

template class ByteRows<Int8Weight>;
template class ByteRows<Int4Weight>;

}  // namespace slora::cpu
