#pragma once
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/tile.h"

namespace slora::cpu {

// A range of panels of y = W x + bias + records: the product tile by tile, then the bias and the records while y is in cache.
template <class Isa>
class LinearKernel {
 public:
  static void columns(const LinearCall& call, std::int64_t panel_begin, std::int64_t panel_end) {
    multiply(call, panel_begin, panel_end);
    const std::int64_t col_begin = panel_begin * PackedWeight::kPanelCols;
    const std::int64_t col_end = least(panel_end * PackedWeight::kPanelCols, call.weight.out);
    add_bias(call, col_begin, col_end);
    for (const ExpandCall& expand : call.records) add_record(call, expand, col_begin, col_end);
  }

 private:
  // Few rows take several panels at once, so that enough chains are in flight; many rows go tile by tile over a block of weights that
  // stays in cache, while the next block is asked for.
  static void multiply(const LinearCall& call, std::int64_t panel_begin, std::int64_t panel_end) {
    if (call.tile_count == 1) return multiply_once(call, call.x_tiles[0], panel_begin, panel_end);
    const std::int64_t pairs = call.weight.pairs();
    const std::int64_t block_count = (pairs + kBlockPairs - 1) / kBlockPairs;
    for (std::int64_t block = 0; block < block_count; ++block) {
      const std::int64_t begin = pairs * block / block_count;
      const std::int64_t end = pairs * (block + 1) / block_count;
      for (std::size_t i = 0; i < call.tile_count; ++i) {
        for (std::int64_t panel = panel_begin; panel < panel_end; ++panel) {
          TileArgs args = tile_args(call, call.x_tiles[i], panel);
          args.x += begin * args.x_stride;
          args.w += begin * args.pair_stride;
          args.pairs = end - begin;
          const std::uint32_t* next =
              block + 1 < block_count ? args.w + args.pairs * args.pair_stride : call.weight.panel(panel + panel_end - panel_begin);
          const std::int64_t step = kPairBytes / static_cast<std::int64_t>(call.tile_count);
          args.ahead = reinterpret_cast<const std::byte*>(next) + static_cast<std::int64_t>(i) * args.pairs * step;
          args.ahead_step = step;
          if (block == 0) {
            multiply_panel<TileStart::zero>(call.x_tiles[i].rows, args, columns_from(call, panel));
          } else {
            multiply_panel<TileStart::out>(call.x_tiles[i].rows, args, columns_from(call, panel));
          }
        }
      }
    }
  }

  static void multiply_once(const LinearCall& call, const RowTile& x, std::int64_t panel_begin, std::int64_t panel_end) {
    std::int64_t panel = panel_begin;
    panel = multiply_side_by_side<8>(call, x, panel, panel_end);
    panel = multiply_side_by_side<4>(call, x, panel, panel_end);
    for (; panel < panel_end; ++panel) {
      TileArgs args = tile_args(call, x, panel);
      args.ahead = reinterpret_cast<const std::byte*>(args.w) + kAheadBytes;  // panels follow one another
      args.ahead_step = kPairBytes;
      multiply_panel<TileStart::zero>(x.rows, args, columns_from(call, panel));
    }
  }

  // Returns the first panel that is left.
  template <int kVectors>
  static std::int64_t multiply_side_by_side(const LinearCall& call, const RowTile& x, std::int64_t panel, std::int64_t panel_end) {
    constexpr std::int64_t kPanels = kVectors / 2;
    if constexpr (Isa::rows_max(kVectors) > 0) {
      for (; x.rows <= Isa::rows_max(kVectors) && panel + kPanels <= panel_end; panel += kPanels) {
        tile_of_columns<Isa, kVectors, TileStart::zero>(x.rows, tile_args(call, x, panel), columns_from(call, panel));
      }
    }
    return panel;
  }

  template <TileStart kStart>
  static void multiply_panel(int rows, TileArgs args, std::int64_t cols) {
    if constexpr (Isa::kTileRows <= Isa::rows_max(2)) {
      tile_of_columns<Isa, 2, kStart>(rows, args, cols);
    } else {
      tile_of_columns<Isa, 1, kStart>(rows, args, cols);
      args.out += kLanes;
      args.w += kLanes;
      if (cols > kLanes) tile_of_columns<Isa, 1, kStart>(rows, args, cols - kLanes);
    }
  }

  static std::int64_t columns_from(const LinearCall& call, std::int64_t panel) {
    return call.weight.out - panel * PackedWeight::kPanelCols;
  }

  static TileArgs tile_args(const LinearCall& call, const RowTile& x, std::int64_t panel) {
    return {.out = call.y.row<float>(x.row_begin) + panel * PackedWeight::kPanelCols,
            .out_stride = call.y.row_stride,
            .x = x.words,
            .x_stride = x.rows,
            .w = call.weight.panel(panel),
            .pair_stride = PackedWeight::kPanelCols,
            .panel_stride = call.weight.panel_words(),
            .pairs = call.weight.pairs(),
            .ahead = reinterpret_cast<const std::byte*>(x.words),
            .ahead_step = 0};
  }

  static bool replaces_bias(const ExpandCall& expand) {
    const RecordView& record = *expand.applied->record;
    return record.bias != nullptr && record.bias_mode == BiasMode::replace;
  }

  // Rows of a record that replaces the base's bias get that instead, on its slice.
  static void add_bias(const LinearCall& call, std::int64_t col_begin, std::int64_t col_end) {
    bool any_replaces = false;
    for (const ExpandCall& expand : call.records) any_replaces |= replaces_bias(expand);
    if (call.bias.empty() && !any_replaces) return;
    for (std::int64_t begin = col_begin; begin < col_end; begin += kBlockCols) {
      const std::int64_t end = least(begin + kBlockCols, col_end);
      float block[kBlockCols];
      for (std::int64_t row = 0; row < call.y.rows; ++row) {
        if (any_replaces || row == 0) find_bias(block, call, row, begin, end);
        add_values(call.y.row<float>(row) + begin, block, end - begin);
      }
    }
  }

  static void find_bias(float* bias, const LinearCall& call, std::int64_t row, std::int64_t begin, std::int64_t end) {
    const std::size_t bytes = static_cast<std::size_t>(end - begin) * sizeof(float);
    if (call.bias.empty()) {
      __builtin_memset(bias, 0, bytes);
    } else {
      __builtin_memcpy(bias, call.bias.data() + begin, bytes);
    }
    for (const ExpandCall& expand : call.records) {
      const AppliedRecord& applied = *expand.applied;
      if (!replaces_bias(expand) || row < applied.row_begin || row >= applied.row_begin + applied.row_count) continue;
      const std::int64_t slice = applied.record->slice_begin;
      const std::int64_t from = greatest(begin, slice);
      const std::int64_t to = least(end, slice + applied.record->out);
      if (from >= to) continue;
      __builtin_memcpy(bias + (from - begin), applied.record->bias + (from - slice), static_cast<std::size_t>(to - from) * sizeof(float));
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

  // The columns that the record's slice and [col_begin, col_end) share. The chains of y go on through B, tile by tile in the order of
  // ranks; z was scaled before.
  static void add_record(const LinearCall& call, const ExpandCall& expand, std::int64_t col_begin, std::int64_t col_end) {
    const AppliedRecord& applied = *expand.applied;
    const RecordView& record = *applied.record;
    const std::int64_t slice_begin = greatest(col_begin - record.slice_begin, 0);
    const std::int64_t slice_end = least(col_end - record.slice_begin, record.out);
    if (slice_begin >= slice_end) return;
    for (const Tile& tile : record.b) {
      const std::int64_t tile_begin = tile.col_begin / 2;
      const std::int64_t begin = greatest(slice_begin, tile_begin);
      const std::int64_t end = least(slice_end, tile_begin + tile.col_count / 2);
      if (begin >= end) continue;
      for (std::size_t i = 0; i < expand.tile_count; ++i) {
        const RowTile& z = expand.z_tiles[i];
        tile_strip<Isa, TileStart::out>(z.rows,
                                        {.out = call.y.row<float>(z.row_begin) + record.slice_begin + begin,
                                         .out_stride = call.y.row_stride,
                                         .x = z.words + static_cast<std::int64_t>(tile.row_begin) * z.rows,
                                         .x_stride = z.rows,
                                         .w = reinterpret_cast<const std::uint32_t*>(tile.data) + (begin - tile_begin),
                                         .pair_stride = tile.col_count / 2,
                                         .pairs = tile.row_count,
                                         .ahead = reinterpret_cast<const std::byte*>(z.words)},
                                        end - begin);
      }
      ask_for_columns(tile, end - tile_begin, 2 * end - begin - tile_begin);
    }
    if (record.bias == nullptr || record.bias_mode != BiasMode::add) return;
    for (std::int32_t r = 0; r < applied.row_count; ++r) {
      add_scaled(call.y.row<float>(applied.row_begin + r) + record.slice_begin + slice_begin, record.bias + slice_begin,
                 slice_end - slice_begin, applied.weight);
    }
  }

  // Columns [begin, end) of every row of B's tile: short runs far apart, which no hardware foresees.
  static void ask_for_columns(const Tile& tile, std::int64_t begin, std::int64_t end) {
    constexpr std::int64_t kLine = 64;
    const std::int64_t row_bytes = tile.col_count * static_cast<std::int64_t>(sizeof(Bfloat16));
    const std::int64_t first = begin * static_cast<std::int64_t>(sizeof(std::uint32_t));
    const std::int64_t last = least(end * static_cast<std::int64_t>(sizeof(std::uint32_t)), row_bytes);
    for (std::int64_t row = 0; row < tile.row_count; ++row) {
      for (std::int64_t at = first; at < last; at += kLine) __builtin_prefetch(tile.data + row * row_bytes + at, 0, 2);
    }
  }

  static constexpr std::int64_t kBlockCols = 128;
  static constexpr std::int64_t kBlockPairs = 4096;  // 512 KiB of a panel
  static constexpr std::int64_t kAheadBytes = 8192;
  static constexpr std::int64_t kPairBytes = PackedWeight::kPanelCols * static_cast<std::int64_t>(sizeof(std::uint32_t));
};

}  // namespace slora::cpu
