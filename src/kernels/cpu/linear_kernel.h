#pragma once
#include "kernels/cpu/expand_kernel.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/tile.h"

namespace slora::cpu {

// Computes a range of panels of y = W x + bias + records: the product tile by tile, then bias and records while y is in cache.
template <class Isa>
class LinearKernel {
 public:
  static void columns(const LinearCall& call, std::int64_t panel_begin, std::int64_t panel_end) {
    if (call.tile_count != 1) return multiply(call, panel_begin, panel_end);
    multiply_once(call, call.x_tiles[0], panel_begin, panel_end);
    add(call, call.x_tiles[0], panel_begin, panel_end);
  }

 private:
  // Several tiles: each is multiplied with a block of the weights that stays in cache, while the next block is prefetched.
  static void multiply(const LinearCall& call, std::int64_t panel_begin, std::int64_t panel_end) {
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
          const auto tile_count = static_cast<std::int64_t>(call.tile_count);
          const std::int64_t step = (kPairBytes + tile_count - 1) / tile_count;  // rounded up, so that no cache line is left out
          args.prefetch = reinterpret_cast<const std::byte*>(next) + static_cast<std::int64_t>(i) * args.pairs * step;
          args.prefetch_step = step;
          if (block == 0) {
            multiply_panel<TileStart::zero>(call.x_tiles[i].rows, args, columns_from(call, panel));
          } else {
            multiply_panel<TileStart::out>(call.x_tiles[i].rows, args, columns_from(call, panel));
          }
        }
        if (block + 1 == block_count) add(call, call.x_tiles[i], panel_begin, panel_end);
      }
    }
  }

  // One tile reads each weight once. With few rows it computes several panels at once, so that enough independent dot chains are in flight.
  static void multiply_once(const LinearCall& call, const RowTile& x, std::int64_t panel_begin, std::int64_t panel_end) {
    std::int64_t panel = panel_begin;
    panel = multiply_side_by_side<8>(call, x, panel, panel_end);
    panel = multiply_side_by_side<4>(call, x, panel, panel_end);
    for (; panel < panel_end; ++panel) {
      TileArgs args = tile_args(call, x, panel);
      args.prefetch = reinterpret_cast<const std::byte*>(args.w) + kPrefetchBytes;  // the next panels follow in memory
      args.prefetch_step = kPairBytes;
      multiply_panel<TileStart::zero>(x.rows, args, columns_from(call, panel));
    }
  }

  // Computes groups of kVectors / 2 panels while `x` is low enough for them; returns the first panel that is left.
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

  static void add(const LinearCall& call, const RowTile& x, std::int64_t panel_begin, std::int64_t panel_end) {
    ExpandKernel<Isa>::add({call.y, call.bias, call.records, call.col_begin}, {x.row_begin, x.row_begin + x.rows},
                           {panel_begin * PackedWeight::kPanelCols, least(panel_end * PackedWeight::kPanelCols, call.weight.out)});
  }

  static std::int64_t columns_from(const LinearCall& call, std::int64_t panel) {
    return call.weight.out - panel * PackedWeight::kPanelCols;
  }

  static TileArgs tile_args(const LinearCall& call, const RowTile& x, std::int64_t panel) {
    return {.out = call.y.row<float>(x.row_begin) + (panel * PackedWeight::kPanelCols - call.col_begin),
            .out_stride = call.y.row_stride,
            .x = x.words,
            .x_stride = x.rows,
            .w = call.weight.panel(panel),
            .pair_stride = PackedWeight::kPanelCols,
            .panel_stride = call.weight.panel_words(),
            .pairs = call.weight.pairs(),
            .prefetch = reinterpret_cast<const std::byte*>(x.words),
            .prefetch_step = 0};
  }

  static constexpr std::int64_t kBlockPairs = 1024;  // 128 KiB of a panel: four of them and the tile of x fit the second-level cache
  static constexpr std::int64_t kPrefetchBytes = 8192;
  static constexpr std::int64_t kPairBytes = PackedWeight::kPanelCols * static_cast<std::int64_t>(sizeof(std::uint32_t));
};

}  // namespace slora::cpu
