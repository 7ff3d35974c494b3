#pragma once
#include "kernels/cpu/expand_kernel.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// Adds records of few rows, whose cost is reading B: B is read row after row, in long runs of memory, while y stays in the first-level
// cache. Each element of y is the same chain of dot instructions in the order of the ranks as in ExpandKernel.
template <class Isa>
class ExpandDeferredKernel {
 public:
  static void run(const ExpandDeferredItem& item, const ExpandDeferredItem* next) {
    Prefetcher prefetcher(item, next);
    for (const AppliedRecord& applied : item.records) {
      const Range slice = slice_of(item, applied);
      for (Range cols = block_at(applied, slice, slice.begin); cols.begin < cols.end; cols = block_at(applied, slice, cols.end)) {
        for (const Tile& tile : applied.record->b) add_tile(item, applied, tile, cols_of(tile, cols), prefetcher);
        add_bias(item, applied, cols);
      }
    }
  }

 private:
  static constexpr std::int64_t kChunkCols = 64;
  static constexpr std::int64_t kVectors = kChunkCols / kLanes;

  struct Range {
    std::int64_t begin, end;
  };

  // The intersection of the item's columns and the record's slice, as columns of the slice.
  static Range slice_of(const ExpandDeferredItem& item, const AppliedRecord& applied) {
    const RecordView& record = *applied.record;
    return {greatest(item.col_begin - record.slice_begin, 0), least(item.col_end - record.slice_begin, record.out)};
  }

  // As many columns from `begin` on as keep y in the first-level cache.
  static Range block_at(const AppliedRecord& applied, Range slice, std::int64_t begin) {
    constexpr std::int64_t kElements = 8192;
    return {begin, least(begin + greatest(kElements / applied.row_count / kChunkCols, 1) * kChunkCols, slice.end)};
  }

  // Those of the columns that lie in the tile.
  static Range cols_of(const Tile& tile, Range cols) {
    return {greatest(cols.begin, tile.col_begin / 2), least(cols.end, (tile.col_begin + tile.col_count) / 2)};
  }

  // The address of B[pair, col]. Requires: the tile holds it.
  static const std::uint32_t* words_at(const Tile& tile, std::int64_t pair, std::int64_t col) {
    return reinterpret_cast<const std::uint32_t*>(tile.data) + (pair - tile.row_begin) * (tile.col_count / 2) + (col - tile.col_begin / 2);
  }

  // Prefetches B: walks over what an item will read of it, and then over the start of the next item, kChunks chunks ahead of the sums.
  class Prefetcher {
   public:
    Prefetcher(const ExpandDeferredItem& item, const ExpandDeferredItem* next) : item_(&item), next_(next) {
      start_record();
      for (int i = 0; i < kChunks; ++i) advance();
    }

    // Prefetches the next chunk of columns of one row of B.
    [[gnu::always_inline]] void advance() {
      if (at_ >= end_ && !find_run()) return;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) __builtin_prefetch(at_ + v * kLanes, 0, 3);
      at_ += kChunkCols;
    }

   private:
    static constexpr int kChunks = 8;

    bool find_run() {
      while (record_ < item_->records.size()) {
        const AppliedRecord& applied = item_->records[record_];
        const TiledMatrix& b = applied.record->b;
        if (block_.begin >= block_.end) {
          ++record_;
          start_record();
        } else if (tile_ == b.tile_count) {
          tile_ = 0;
          block_ = block_at(applied, slice_of(*item_, applied), block_.end);
        } else if (pair_ == b.tiles[tile_].row_count) {
          pair_ = 0;
          ++tile_;
        } else {
          const Tile& tile = b.tiles[tile_];
          const Range cols = cols_of(tile, block_);
          at_ = words_at(tile, tile.row_begin + pair_, cols.begin);
          end_ = at_ + (cols.end - cols.begin);
          ++pair_;
          if (at_ < end_) return true;
        }
      }
      return false;
    }

    void start_record() {
      if (record_ == item_->records.size() && next_ != nullptr) {
        item_ = next_;
        next_ = nullptr;
        record_ = 0;
      }
      if (record_ == item_->records.size()) return;
      const AppliedRecord& applied = item_->records[record_];
      const Range slice = slice_of(*item_, applied);
      block_ = block_at(applied, slice, slice.begin);
    }

    const ExpandDeferredItem* item_;
    const ExpandDeferredItem* next_;
    std::size_t record_ = 0;
    Range block_{};
    std::int32_t tile_ = 0;
    std::int32_t pair_ = 0;
    const std::uint32_t* at_ = nullptr;
    const std::uint32_t* end_ = nullptr;
  };

  static void add_tile(const ExpandDeferredItem& item, const AppliedRecord& applied, const Tile& tile, Range cols, Prefetcher& prefetcher) {
    if (cols.begin >= cols.end) return;
    for (std::int64_t pair = tile.row_begin; pair < tile.row_begin + tile.row_count; ++pair) {
      add_row(item, applied, pair, words_at(tile, pair, cols.begin), cols, prefetcher);
    }
  }

  static void add_row(const ExpandDeferredItem& item, const AppliedRecord& applied, std::int64_t pair, const std::uint32_t* w, Range cols,
                      Prefetcher& prefetcher) {
    Words z[kExpandDeferredRows];
    for (std::int64_t r = 0; r < applied.row_count; ++r) z[r] = broadcast_word(word_of(item.z, applied, r, pair));
    float* y = item.y.row<float>(applied.row_begin) + (applied.record->slice_begin + cols.begin);
    const std::int64_t count = cols.end - cols.begin;
    std::int64_t col = 0;
    for (; col + kChunkCols <= count; col += kChunkCols) {
      prefetcher.advance();
      Words weights[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) weights[v] = load_words(w + col + v * kLanes);
      for (std::int64_t r = 0; r < applied.row_count; ++r) {
        float* out = y + r * item.y.row_stride + col;
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) store(out + v * kLanes, Isa::dot(load(out + v * kLanes), weights[v], z[r]));
      }
    }
    if (col < count) prefetcher.advance();
    for (; col < count; col += kLanes) {
      const std::int64_t lanes = least(kLanes, count - col);
      const Words weights = load_words_head(w + col, lanes * static_cast<std::int64_t>(sizeof(std::uint32_t)));
      for (std::int64_t r = 0; r < applied.row_count; ++r) {
        float* out = y + r * item.y.row_stride + col;
        store_head(out, Isa::dot(load_head(out, lanes), weights, z[r]), lanes);
      }
    }
  }

  // weight * scale * z of two ranks as a word of two bf16; an odd last rank is paired with 0, even if the factor is NaN or infinite.
  static std::uint32_t word_of(Tensor z, const AppliedRecord& applied, std::int64_t row, std::int64_t pair) {
    const float* from = z.row<float>(applied.row_begin + row) + applied.z_begin + 2 * pair;
    const bool is_whole = 2 * pair + 1 < applied.record->rank;
    const Floats values = {from[0], is_whole ? from[1] : 0.0f};
    const Words bits = rounded_to_bfloat16(values * (applied.weight * applied.record->scale));
    return is_whole ? bits[0] | bits[1] << 16 : bits[0];
  }

  static void add_bias(const ExpandDeferredItem& item, const AppliedRecord& applied, Range cols) {
    const RecordView& record = *applied.record;
    if (record.bias == nullptr || record.bias_mode != BiasMode::add) return;
    for (std::int64_t r = 0; r < applied.row_count; ++r) {
      float* y = item.y.row<float>(applied.row_begin + r) + (record.slice_begin + cols.begin);
      ExpandKernel<Isa>::add_scaled(y, record.bias + cols.begin, cols.end - cols.begin, applied.weight);
    }
  }
};

}  // namespace slora::cpu
