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
    if (call.tile_count == 1 && call.x_tiles[0].rows <= kRowsOnce) {
      multiply_once(call, call.x_tiles[0], panel_begin, panel_end);
      add(call, call.x_tiles[0], panel_begin, panel_end);
    } else if constexpr (Isa::kDotsPairs) {
      multiply(call, panel_begin, panel_end);
    } else {
      multiply_wide(call, panel_begin, panel_end);
    }
  }

 private:
  // The most rows of a single tile that reads a panel in one pass.
  static constexpr int kRowsOnce = Isa::rows_max(2);

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
            tile_of_columns<Isa, 2, TileStart::zero>(call.x_tiles[i].rows, args, columns_from(call, panel));
          } else {
            tile_of_columns<Isa, 2, TileStart::out>(call.x_tiles[i].rows, args, columns_from(call, panel));
          }
        }
        if (block + 1 == block_count) add(call, call.x_tiles[i], panel_begin, panel_end);
      }
    }
  }

  // Without an instruction for pairs of bf16, weights must be widened. A few tiles do it in registers, next to enough multiply-adds that it
  // costs little; for more of them a block is widened once, into memory that stays in the first-level cache.
  static void multiply_wide(const LinearCall& call, std::int64_t panel_begin, std::int64_t panel_end) {
    alignas(64) float wide[2 * kWideBlockPairs * kWideVectors * kLanes];
    const std::int64_t pairs = call.weight.pairs();
    const std::int64_t block_count = (pairs + kWideBlockPairs - 1) / kWideBlockPairs;
    for (std::int64_t block = 0; block < block_count; ++block) {
      const Pairs own{pairs * block / block_count, pairs * (block + 1) / block_count};
      for (std::int64_t panel = panel_begin; panel < panel_end; ++panel) {
        const std::int64_t cols = columns_from(call, panel);
        const std::uint32_t* next = panel + 1 < panel_end ? pair_of(call, panel + 1, own.begin) : pair_of(call, panel_begin, own.end);
        if (panel + 1 == panel_end && block + 1 == block_count) next = call.weight.panel(panel_end);
        for (std::int64_t col = 0; col < least(cols, PackedWeight::kPanelCols); col += kWideVectors * kLanes) {
          if (call.tile_count > kTilesInRegisters) {
            widen_weights<Isa, kWideVectors>(wide, pair_of(call, panel, own.begin) + col, PackedWeight::kPanelCols, own.end - own.begin);
          }
          multiply_block(call, {panel, col, own, wide, next});
        }
      }
    }
    for (std::size_t i = 0; i < call.tile_count; ++i) add(call, call.x_tiles[i], panel_begin, panel_end);
  }

  struct Pairs {
    std::int64_t begin, end;
  };
  struct WideBlock {
    std::int64_t panel;
    std::int64_t col;  // first column within the panel
    Pairs pairs;
    const float* wide;          // the widened weights, if there are more than kTilesInRegisters tiles
    const std::uint32_t* next;  // what will be read next, to be prefetched
  };

  static void multiply_block(const LinearCall& call, const WideBlock& block) {
    constexpr std::int64_t kHalves = PackedWeight::kPanelCols / (kWideVectors * kLanes);
    const std::int64_t cols = columns_from(call, block.panel) - block.col;
    const std::int64_t shares = static_cast<std::int64_t>(call.tile_count) * kHalves;
    const std::int64_t step = (kPairBytes + shares - 1) / shares;  // rounded up, so that no cache line is left out
    const auto* prefetch = reinterpret_cast<const std::byte*>(block.next);
    for (std::size_t i = 0; i < call.tile_count; ++i) {
      const RowTile& x = call.x_tiles[i];
      TileArgs args = tile_args(call, x, block.panel);
      args.out += block.col;
      args.x = x.pair(block.pairs.begin);
      args.w = pair_of(call, block.panel, block.pairs.begin) + block.col;
      args.pairs = block.pairs.end - block.pairs.begin;
      args.prefetch = prefetch + (static_cast<std::int64_t>(i) * kHalves + block.col / (kWideVectors * kLanes)) * args.pairs * step;
      args.prefetch_step = step;
      if (call.tile_count > kTilesInRegisters) {
        args.w = reinterpret_cast<const std::uint32_t*>(block.wide);
        args.pair_stride = 2 * kWideVectors * kLanes;
        multiply_tile<TileWeights::wide>(x.rows, args, cols, block.pairs.begin);
      } else {
        multiply_tile<TileWeights::whole>(x.rows, args, cols, block.pairs.begin);
      }
    }
  }

  template <TileWeights kWeights>
  static void multiply_tile(int rows, const TileArgs& args, std::int64_t cols, std::int64_t pair_begin) {
    if (pair_begin == 0) return tile_of_columns<Isa, kWideVectors, TileStart::zero, kWeights>(rows, args, cols);
    tile_of_columns<Isa, kWideVectors, TileStart::out, kWeights>(rows, args, cols);
  }

  // One tile reads each weight once. With few rows it computes several panels at once, so that enough independent dot chains are in flight.
  static void multiply_once(const LinearCall& call, const RowTile& x, std::int64_t panel_begin, std::int64_t panel_end) {
    std::int64_t panel = panel_begin;
    panel = multiply_side_by_side<8>(call, x, panel, panel_end);
    panel = multiply_side_by_side<4>(call, x, panel, panel_end);
    multiply_side_by_side<2>(call, x, panel, panel_end);
  }

  // Computes groups of kVectors / 2 panels while `x` is low enough for them; returns the first panel that is left.
  template <int kVectors>
  static std::int64_t multiply_side_by_side(const LinearCall& call, const RowTile& x, std::int64_t panel, std::int64_t panel_end) {
    constexpr std::int64_t kPanels = kVectors / 2;
    if constexpr (Isa::rows_max(kVectors) > 0) {  // what follows a panel in memory is the next one
      for (; x.rows <= Isa::rows_max(kVectors) && panel + kPanels <= panel_end; panel += kPanels) {
        tile_of_columns<Isa, kVectors, TileStart::zero, TileWeights::streamed>(x.rows, tile_args(call, x, panel),
                                                                               columns_from(call, panel));
      }
    }
    return panel;
  }

  static void add(const LinearCall& call, const RowTile& x, std::int64_t panel_begin, std::int64_t panel_end) {
    ExpandKernel<Isa>::add({call.y, call.bias, call.records, call.col_begin}, {x.row_begin, x.row_begin + x.rows},
                           {panel_begin * PackedWeight::kPanelCols, least(panel_end * PackedWeight::kPanelCols, call.weight.out)});
  }

  static std::int64_t columns_from(const LinearCall& call, std::int64_t panel) {
    return call.weight.out - panel * PackedWeight::kPanelCols;
  }

  static const std::uint32_t* pair_of(const LinearCall& call, std::int64_t panel, std::int64_t pair) {
    return call.weight.panel(panel) + pair * PackedWeight::kPanelCols;
  }

  static TileArgs tile_args(const LinearCall& call, const RowTile& x, std::int64_t panel) {
    return {.out = call.y.row<float>(x.row_begin) + (panel * PackedWeight::kPanelCols - call.col_begin),
            .out_stride = call.y.row_stride,
            .x = x.words,
            .x_stride = x.pair_stride,
            .w = call.weight.panel(panel),
            .pair_stride = PackedWeight::kPanelCols,
            .panel_stride = call.weight.panel_words(),
            .pairs = call.weight.pairs(),
            .prefetch = reinterpret_cast<const std::byte*>(x.words),
            .prefetch_step = 0};
  }

  static constexpr std::int64_t kBlockPairs = 1024;  // 128 KiB of a panel: four of them and the tile of x fit the second-level cache
  static constexpr int kWideVectors = Isa::kTileRows <= Isa::rows_max(2) ? 2 : 1;  // columns of the tiles of multiply_wide()
  static constexpr std::int64_t kWideBlockPairs = 128;                             // 8 KiB of a panel, 32 KiB widened
  static constexpr std::size_t kTilesInRegisters = 2;                              // that widen for themselves
  static constexpr std::int64_t kPairBytes = PackedWeight::kPanelCols * static_cast<std::int64_t>(sizeof(std::uint32_t));
};

}  // namespace slora::cpu
