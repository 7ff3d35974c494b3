#pragma once
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/tile.h"

namespace slora::cpu {

// What is added to a product W x, and where.
struct ExpandArgs {
  Tensor y;                     // [T, columns of the product from col_begin on] fp32
  std::span<const float> bias;  // [out] or empty
  std::span<const ExpandCall> records;
  std::int64_t col_begin = 0;

  [[nodiscard]] float* at(std::int64_t row, std::int64_t col) const { return y.row<float>(row) + (col - col_begin); }
};

// Adds to y = W x, while y is in cache, the bias (or the records' biases that replace it), then the records in their order.
template <class Isa>
class ExpandKernel {
 public:
  struct Range {
    std::int64_t begin, end;
  };

  // Requires: every tile of z lies either in these rows or outside of them.
  static void add(const ExpandArgs& args, Range rows, Range cols) {
    add_bias(args, rows, cols);
    for (const ExpandCall& expand : args.records) {
      if (!expand.is_deferred) add_record(args, expand, rows, cols);
    }
  }

  // y += factor * values
  static void add_scaled(float* y, const float* values, std::int64_t count, float factor) {
    const Floats factors = broadcast(factor);
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(y + i, Isa::multiply_add(factors, load(values + i), load(y + i)));
    if (i < count) {
      store_head(y + i, Isa::multiply_add(factors, load_head(values + i, count - i), load_head(y + i, count - i)), count - i);
    }
  }

 private:
  static bool replaces_bias(const ExpandCall& expand) {
    const RecordView& record = *expand.applied->record;
    return record.bias != nullptr && record.bias_mode == BiasMode::replace;
  }

  // Rows under a record that replaces the base's bias get the record's bias instead, on its slice.
  static void add_bias(const ExpandArgs& args, Range rows, Range cols) {
    bool any_replaces = false;
    for (const ExpandCall& expand : args.records) any_replaces |= replaces_bias(expand);
    if (args.bias.empty() && !any_replaces) return;
    for (std::int64_t begin = cols.begin; begin < cols.end; begin += kBlockCols) {
      const std::int64_t end = least(begin + kBlockCols, cols.end);
      float block[kBlockCols];
      for (std::int64_t row = rows.begin; row < rows.end; ++row) {
        if (any_replaces || row == rows.begin) find_bias(block, args, row, begin, end);
        add_values(args.at(row, begin), block, end - begin);
      }
    }
  }

  static void find_bias(float* bias, const ExpandArgs& args, std::int64_t row, std::int64_t begin, std::int64_t end) {
    const std::size_t bytes = static_cast<std::size_t>(end - begin) * sizeof(float);
    if (args.bias.empty()) {
      __builtin_memset(bias, 0, bytes);
    } else {
      __builtin_memcpy(bias, args.bias.data() + begin, bytes);
    }
    for (const ExpandCall& expand : args.records) {
      const AppliedRecord& applied = *expand.applied;
      if (!replaces_bias(expand) || row < applied.row_begin || row >= applied.row_begin + applied.row_count) continue;
      const std::int64_t slice = applied.record->slice_begin;
      const std::int64_t from = greatest(begin, slice);
      const std::int64_t to = least(end, slice + applied.record->out);
      if (from >= to) continue;
      __builtin_memcpy(bias + (from - begin), applied.record->bias + (from - slice), static_cast<std::size_t>(to - from) * sizeof(float));
    }
  }

  // Adds the record where its rows and slice intersect the given ones. The dot chains of y continue through B, tile by tile in the order of
  // the ranks; z was scaled when it was packed.
  static void add_record(const ExpandArgs& args, const ExpandCall& expand, Range rows, Range cols) {
    const AppliedRecord& applied = *expand.applied;
    const RecordView& record = *applied.record;
    const Range mine = {greatest(rows.begin, applied.row_begin), least(rows.end, applied.row_begin + applied.row_count)};
    const std::int64_t slice_begin = greatest(cols.begin - record.slice_begin, 0);
    const std::int64_t slice_end = least(cols.end - record.slice_begin, record.out);
    if (slice_begin >= slice_end || mine.begin >= mine.end) return;
    const std::size_t first_tile = find_tile(expand, mine.begin);
    for (const Tile& tile : record.b) {
      const std::int64_t tile_begin = tile.col_begin / 2;
      const std::int64_t begin = greatest(slice_begin, tile_begin);
      const std::int64_t end = least(slice_end, tile_begin + tile.col_count / 2);
      if (begin >= end) continue;
      for (std::size_t i = first_tile; i < expand.tile_count && expand.z_tiles[i].row_begin < mine.end; ++i) {
        const RowTile& z = expand.z_tiles[i];
        tile_strip<Isa, TileStart::out>(z.rows,
                                        {.out = args.at(z.row_begin, record.slice_begin + begin),
                                         .out_stride = args.y.row_stride,
                                         .x = z.pair(tile.row_begin),
                                         .x_stride = z.pair_stride,
                                         .w = reinterpret_cast<const std::uint32_t*>(tile.data) + (begin - tile_begin),
                                         .pair_stride = tile.col_count / 2,
                                         .pairs = tile.row_count,
                                         .prefetch = reinterpret_cast<const std::byte*>(z.words)},
                                        end - begin);
      }
      if (mine.begin == applied.row_begin) prefetch_columns(tile, end - tile_begin, 2 * end - begin - tile_begin);
    }
    if (record.bias == nullptr || record.bias_mode != BiasMode::add) return;
    for (std::int64_t row = mine.begin; row < mine.end; ++row) {
      add_scaled(args.at(row, record.slice_begin + slice_begin), record.bias + slice_begin, slice_end - slice_begin, applied.weight);
    }
  }

  // The first of the record's tiles of z that begins at `row` or after it.
  static std::size_t find_tile(const ExpandCall& expand, std::int64_t row) {
    std::size_t begin = 0;
    for (std::size_t end = expand.tile_count; begin < end;) {
      const std::size_t middle = (begin + end) / 2;
      if (expand.z_tiles[middle].row_begin < row) {
        begin = middle + 1;
      } else {
        end = middle;
      }
    }
    return begin;
  }

  // Prefetches columns [begin, end) of every row of B's tile: short runs far apart, which no hardware prefetcher predicts.
  static void prefetch_columns(const Tile& tile, std::int64_t begin, std::int64_t end) {
    constexpr std::int64_t kLine = 64;
    const std::int64_t row_bytes = tile.col_count * static_cast<std::int64_t>(sizeof(Bfloat16));
    const std::int64_t first = begin * static_cast<std::int64_t>(sizeof(std::uint32_t));
    const std::int64_t last = least(end * static_cast<std::int64_t>(sizeof(std::uint32_t)), row_bytes);
    for (std::int64_t row = 0; row < tile.row_count; ++row) {
      for (std::int64_t at = first; at < last; at += kLine) __builtin_prefetch(tile.data + row * row_bytes + at, 0, 2);
    }
  }

  static constexpr std::int64_t kBlockCols = 128;
};

}  // namespace slora::cpu
