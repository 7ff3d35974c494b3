#pragma once
#include <type_traits>

#include "kernels/cpu/expand_kernel.h"
#include "kernels/cpu/int4_tile.h"
#include "kernels/cpu/int8_tile.h"
#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// Computes a range of panels of y = W x + bias + records with a W in 8 or 4 bits: the product tile by tile, then bias and records while y
// is in cache.
template <class Isa, class Weight>
class ByteLinearKernel {
 public:
  using Call = ByteLinearCall<Weight>;
  using Tiles = std::conditional_t<std::is_same_v<Weight, Int8Weight>, Int8Tiles<Isa>, Int4Tiles<Isa>>;

  static void columns(const Call& call, std::int64_t panel_begin, std::int64_t panel_end) {
    if (call.tiles.size() == 1) {
      multiply_once(call, panel_begin, panel_end);
    } else {
      multiply(call, panel_begin, panel_end);
    }
    const std::int64_t col_begin = panel_begin * Weight::kPanelCols;
    const std::int64_t col_end = least(panel_end * Weight::kPanelCols, call.weight.out);
    ExpandKernel<Isa>::add({call.y, call.bias, call.records, call.col_begin}, {0, call.y.rows}, {col_begin, col_end});
  }

 private:
  // Groups of inputs [begin, end).
  struct Groups {
    std::int64_t begin, end;
  };

  // One tile reads each weight once. With few rows it computes several panels at once, so that enough independent dot chains are in flight.
  static void multiply_once(const Call& call, std::int64_t panel_begin, std::int64_t panel_end) {
    const ByteRowTile<Weight>& x = call.tiles[0];
    std::int64_t panel = panel_begin;
    panel = multiply_side_by_side<8>(call, panel, panel_end);
    panel = multiply_side_by_side<4>(call, panel, panel_end);
    for (; panel < panel_end; ++panel) {
      Int8TileArgs args = tile_args(call, x, panel, {0, call.weight.group_count()});
      args.prefetch = reinterpret_cast<const std::byte*>(args.w) + kPrefetchBytes;  // the next panels follow in memory
      args.prefetch_step = Weight::kStepBytes;
      multiply_panel(x.rows, args, columns_from(call, panel));
    }
  }

  // Computes groups of kVectors / 2 panels while the tile is low enough for them; returns the first panel that is left.
  template <int kVectors>
  static std::int64_t multiply_side_by_side(const Call& call, std::int64_t panel, std::int64_t panel_end) {
    constexpr std::int64_t kPanels = kVectors / 2;
    if constexpr (Tiles::rows_max(kVectors) > 0) {
      const ByteRowTile<Weight>& x = call.tiles[0];
      for (; x.rows <= Tiles::rows_max(kVectors) && panel + kPanels <= panel_end; panel += kPanels) {
        const Int8TileArgs args = tile_args(call, x, panel, {0, call.weight.group_count()});
        byte_tile_of_columns<Tiles, kVectors>(x.rows, args, columns_from(call, panel));
      }
    }
    return panel;
  }

  // Several tiles: all are multiplied with a block of the weights that stays in the first-level cache, while the next block is prefetched
  // by the first kPrefetchingTiles of them.
  static void multiply(const Call& call, std::int64_t panel_begin, std::int64_t panel_end) {
    const std::int64_t group_count = call.weight.group_count();
    const std::int64_t block_count = (group_count + Weight::kBlockGroups - 1) / Weight::kBlockGroups;
    const auto tile_count = static_cast<std::int64_t>(call.tiles.size());
    const std::int64_t prefetching = least(tile_count, kPrefetchingTiles);
    for (std::int64_t block = 0; block < block_count; ++block) {
      const Groups groups{group_count * block / block_count, group_count * (block + 1) / block_count};
      for (std::int64_t panel = panel_begin; panel < panel_end; ++panel) {
        const auto* next = reinterpret_cast<const std::byte*>(panel + 1 < panel_end      ? call.weight.group(panel + 1, groups.begin)
                                                              : groups.end < group_count ? call.weight.group(panel_begin, groups.end)
                                                                                         : call.weight.panel(panel_end));
        for (std::int64_t i = 0; i < tile_count; ++i) {
          const ByteRowTile<Weight>& x = call.tiles[static_cast<std::size_t>(i)];
          Int8TileArgs args = tile_args(call, x, panel, groups);
          if (i < prefetching) {
            args.prefetch_step = (Weight::kStepBytes + prefetching - 1) / prefetching;  // rounded up, so that no cache line is left out
            args.prefetch = next + i * args.prefetch_step * (groups.end - groups.begin) * Weight::kGroupSteps;
          }
          multiply_panel(x.rows, args, columns_from(call, panel));
        }
      }
    }
  }

  static void multiply_panel(int rows, Int8TileArgs args, std::int64_t cols) {
    if constexpr (Tiles::kTileRows <= Tiles::rows_max(2)) {
      byte_tile_of_columns<Tiles, 2>(rows, args, cols);
    } else {
      byte_tile_of_columns<Tiles, 1>(rows, args, cols);
      args.out += kLanes;
      args.col_begin = kLanes;
      if (cols > kLanes) byte_tile_of_columns<Tiles, 1>(rows, args, cols - kLanes);
    }
  }

  static std::int64_t columns_from(const Call& call, std::int64_t panel) { return call.weight.out - panel * Weight::kPanelCols; }

  static Int8TileArgs tile_args(const Call& call, const ByteRowTile<Weight>& x, std::int64_t panel, Groups groups) {
    return {.out = call.y.template row<float>(x.row_begin) + (panel * Weight::kPanelCols - call.col_begin),
            .out_stride = call.y.row_stride,
            .x = x.group(groups.begin),
            .w = call.weight.group(panel, groups.begin),
            .panel_stride = call.weight.panel_words(),
            .group_count = groups.end - groups.begin,
            .last_quads = call.weight.quads_of(groups.end - 1),
            .start = groups.begin == 0 ? TileStart::zero : TileStart::out,
            .prefetch = reinterpret_cast<const std::byte*>(x.words)};
  }

  static constexpr std::int64_t kPrefetchingTiles = 8;
  static constexpr std::int64_t kPrefetchBytes = 8192;
};

}  // namespace slora::cpu
