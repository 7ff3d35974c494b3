#pragma once
#include "kernels/cpu/attend_scratch.h"
#include "kernels/cpu/attend_tile.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/rescale_kernel.h"

namespace slora::cpu {

// One tile of rows over one block of keys: scores, their softmax combined with the sums so far, and weights times values. Keys that a row
// does not see are excluded by position, never by value: pages may hold anything there, NaN too.
template <class Isa>
class AttendBlockKernel {
 public:
  using Scratch = AttendScratch<Isa>;
  using State = AttendState<Isa>;

  // Consecutive rows of a call; at most Isa::kTileRows.
  struct Rows {
    std::int64_t begin, count;
  };

  // Adds the keys of scratch.block to `state`. Requires: scratch.positions and scratch.queries of these rows are set.
  static void run(const AttendCall& call, const Scratch& scratch, const State& state, Rows rows) {
    Range visible[kTileRows];
    for (std::int64_t r = 0; r < rows.count; ++r) visible[r] = visible_keys(call, scratch.positions[rows.begin + r], scratch.position);
    // Ranges move up with the row, so the first and the last row bound what any row sees and what all rows see.
    const Range any{visible[0].begin, visible[rows.count - 1].end};
    if (any.empty()) return;
    score_keys(call, scratch, rows, any);
    if (call.params.soft_cap > 0) cap_scores(call, scratch, rows, any);
    const float scale = call.params.soft_cap > 0 ? kLog2E : call.params.scale * kLog2E;
    if (visible[rows.count - 1].begin == 0 && visible[0].end == kKeyBlock) {
      weigh<true>(scratch, state, rows, visible, scale);
      add_common(scratch, state, rows, {0, kKeyBlock / 2});
    } else {
      hide_unseen(scratch, rows.count, visible);
      weigh<false>(scratch, state, rows, visible, scale);
      add_values(scratch, state, rows, visible);
    }
  }

 private:
  using Block = KvBlock<Isa>;

  static constexpr std::int64_t kTileRows = Scratch::kTileRows;
  static constexpr std::int64_t kLineKeys = Scratch::kLineKeys;
  static constexpr std::int64_t kBlockLines = Scratch::kBlockLines;
  static constexpr std::int64_t kLineWords = Scratch::kLineWords;
  static constexpr int kKeyVectors = Isa::rows_max(2) >= Isa::kTileRows ? 2 : 1;
  static constexpr float kLowest = -__builtin_inff();

  // The keys of a block that a row sees.
  struct Range {
    std::int64_t begin, end;

    [[nodiscard]] bool empty() const { return begin >= end; }
  };

  static Range visible_keys(const AttendCall& call, std::int64_t position, std::int64_t block_position) {
    const std::int64_t first = call.params.window > 0 ? position - call.params.window + 1 : 0;
    return {greatest(first - block_position, 0), least(position + 1 - block_position, kKeyBlock)};
  }

  // scores [rows, 128] = q K, for all lines of keys of which some row sees a key
  static void score_keys(const AttendCall& call, const Scratch& scratch, Rows rows, Range any) {
    const std::int64_t lines = Scratch::head_lines(call.layer->head_dim);
    const std::uint32_t* const* keys = scratch.block.keys;
    const std::uint32_t* const* prefetch = upcoming_block(scratch, rows).keys;
    for (std::int64_t key = any.begin / kLineKeys * kLineKeys; key < any.end; key += kKeyVectors * kLanes) {
      const std::int64_t vector = key / kLanes;
      for (std::int64_t i = 0; i < lines; ++i) {
        scratch.key_runs[i] = keys[vector] + i * kLanes * scratch.block.key_stride;
        scratch.prefetch_runs[i] = prefetch[vector] + i * kLanes * scratch.block.key_stride;
      }
      AttendTileArgs args{.out = scratch.scores + key,
                          .out_stride = kKeyBlock,
                          .x = scratch.queries + rows.begin * lines * kLineWords,
                          .runs = scratch.key_runs,
                          .prefetch = scratch.prefetch_runs,
                          .run_shift = 4,
                          .pair_stride = scratch.block.key_stride,
                          .end = call.layer->head_dim / 2};
      if constexpr (kKeyVectors == 2) {  // no row may see the second vector, and then it has no page
        args.vector_stride = key + kLanes < any.end ? keys[vector + 1] - keys[vector] : 0;
        args.prefetch_stride = prefetch[vector + 1] - prefetch[vector];
      }
      attend_tile_of_rows<Isa, kTileRows, kKeyVectors, AttendStart::zero>(rows.count, args);
    }
  }

  // Scales the scores that score_keys() made, and bounds them.
  static void cap_scores(const AttendCall& call, const Scratch& scratch, Rows rows, Range any) {
    const std::int64_t begin = any.begin / kLineKeys * kLineKeys, end = (any.end + kLineKeys - 1) / kLineKeys * kLineKeys;
    for (std::int64_t r = 0; r < rows.count; ++r) {
      float* const scores = scratch.scores + r * kKeyBlock;
      for (std::int64_t key = begin; key < end; key += kLanes)
        store(scores + key, soft_capped<Isa>(load(scores + key) * call.params.scale, call.params.soft_cap));
    }
  }

  // The first tile prefetches the upcoming block; the other tiles then find it in cache.
  static const Block& upcoming_block(const Scratch& scratch, Rows rows) { return rows.begin == 0 ? scratch.upcoming : scratch.block; }

  // Sets the scores of keys that a row does not see to -inf, in lines of which it sees a key.
  static void hide_unseen(const Scratch& scratch, std::int64_t row_count, const Range* visible) {
    const Ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (std::int64_t r = 0; r < row_count; ++r) {
      const auto begin = static_cast<std::int32_t>(visible[r].begin);
      const auto end = static_cast<std::int32_t>(visible[r].end);
      for (std::int64_t key = begin / kLineKeys * kLineKeys; key < (end + kLineKeys - 1) / kLineKeys * kLineKeys; key += kLanes) {
        if (key >= begin && key + kLanes <= end) continue;
        float* at = scratch.scores + r * kKeyBlock + key;
        const Ints keys = lanes + static_cast<std::int32_t>(key);
        store(at, ((keys >= begin) & (keys < end)) ? load(at) : broadcast(kLowest));
      }
    }
  }

  // Turns scores into bf16 weights relative to the highest score so far, and rescales the earlier sums to it. kWhole: all rows see all
  // keys.
  template <bool kWhole>
  static void weigh(const Scratch& scratch, const State& state, Rows rows, const Range* visible, float scale) {
    const auto for_lines = [&](std::int64_t r, auto&& visit) {
      const std::int64_t end = kWhole ? kBlockLines : (visible[r].end + kLineKeys - 1) / kLineKeys;
      for (std::int64_t line = kWhole ? 0 : visible[r].begin / kLineKeys; line < end; ++line) visit(line);
    };
    alignas(64) float peaks[kLanes] = {};
    for (std::int64_t r = 0; r < rows.count; ++r) {
      Floats peak = broadcast(kLowest);
      for_lines(r, [&](std::int64_t line) {
        const float* scores = scratch.scores + r * kKeyBlock + line * kLineKeys;
        peak = larger<Isa>(larger<Isa>(load(scores), load(scores + kLanes)), peak);
      });
      peaks[r] = Isa::maximum(peak);
    }
    const Floats before = load(state.highest + rows.begin);
    const Floats highest = larger<Isa>(load(peaks) * scale, before);
    const Floats origin = highest == broadcast(kLowest) ? Floats{} : highest;
    alignas(64) float factors[kLanes];
    alignas(64) float origins[kLanes];
    store(peaks, highest);
    store(origins, origin);
    store(factors, Isa::exp2(before - origin));
    for (std::int64_t r = 0; r < rows.count; ++r) {
      if (!kWhole && visible[r].empty()) continue;
      const std::int64_t row = rows.begin + r;
      state.highest[row] = peaks[r];
      if (factors[r] != 1.0f) {
        float* sums = state.sums + row * state.dim;
        for (std::int64_t d = 0; d < state.dim; d += kLanes) store(sums + d, load(sums + d) * factors[r]);
      }
      Floats total = load(state.totals + row * kLanes) * factors[r];
      const Floats scales = broadcast(scale);
      const Floats shift = broadcast(-origins[r]);
      for_lines(r, [&](std::int64_t line) {
        const float* scores = scratch.scores + r * kKeyBlock + line * kLineKeys;
        const Floats low = Isa::exp2(Isa::multiply_add(load(scores), scales, shift));
        const Floats high = Isa::exp2(Isa::multiply_add(load(scores + kLanes), scales, shift));
        const Words words = Isa::bfloat16_words(low, high);
        store_attend_line<Isa>(scratch.weights + (line * rows.count + r) * kLineWords, words);
        // Sums the rounded weights, which are the ones multiplied with values, so that they add up to 1.
        total = Isa::dot(total, words, broadcast_word(0x3f803f80));
      });
      store(state.totals + row * kLanes, total);
    }
  }

  // sums += weights V if some row does not see all keys: pairs of keys that all rows see are computed in tiles, those before and after row
  // by row. Each row adds its pairs in order.
  static void add_values(const Scratch& scratch, const State& state, Rows rows, const Range* visible) {
    const Range& last = visible[rows.count - 1];
    Range common{(last.begin + 1) / 2, visible[0].end / 2};
    if (common.empty()) common = {kKeyBlock / 2, kKeyBlock / 2};
    const auto add_alone = [&](std::int64_t r, Range pairs) {
      add_pairs(scratch, state.sums + (rows.begin + r) * state.dim, scratch.weights + r * kLineWords, rows.count, visible[r], pairs);
    };
    for (std::int64_t r = 0; r < rows.count && visible[0].begin / 2 < common.begin; ++r) {
      add_alone(r, {visible[r].begin / 2, least(common.begin, (visible[r].end + 1) / 2)});
    }
    if (!common.empty()) add_common(scratch, state, rows, common);
    if (rows.begin == 0) scratch.upcoming.prefetch_values(common.end, (last.end + kLineKeys - 1) / kLineKeys * kLanes);
    for (std::int64_t r = 0; r < rows.count && last.end > 2 * common.end; ++r) {
      add_alone(r, {common.end, (visible[r].end + 1) / 2});
    }
  }

  static void add_common(const Scratch& scratch, const State& state, Rows rows, Range pairs) {
    AttendTileArgs args{.out = state.sums + rows.begin * state.dim,
                        .out_stride = state.dim,
                        .x = scratch.weights,
                        .runs = scratch.block.values,
                        .prefetch = upcoming_block(scratch, rows).values,
                        .run_shift = scratch.block.value_shift,
                        .pair_stride = scratch.block.value_stride,
                        .begin = pairs.begin,
                        .end = pairs.end};
    std::int64_t column = 0;
    const auto go = [&]<int kVectors>(std::integral_constant<int, kVectors>) {
      constexpr std::int64_t kCols = kVectors * kLanes;
      constexpr int kRowsMax = static_cast<int>(least(Isa::rows_max(kVectors), kTileRows));
      if constexpr (kRowsMax > 0) {
        for (; rows.count <= kRowsMax && state.dim - column >= kCols; column += kCols) {
          args.run_offset = column;
          attend_tile_of_rows<Isa, kRowsMax, kVectors, AttendStart::out>(rows.count, args);
          args.out += kCols;
        }
      }
    };
    go(std::integral_constant<int, 4>{});
    go(std::integral_constant<int, 2>{});
    go(std::integral_constant<int, 1>{});
  }

  // sums [dim] += weights [4, row_count] V over some pairs of one row. Of a pair of which the row sees only one key, the other is
  // masked out of weights and values.
  static void add_pairs(const Scratch& scratch, float* sums, const std::uint32_t* weights, std::int64_t row_count, Range visible,
                        Range pairs) {
    const Block& block = scratch.block;
    const std::int64_t run_pairs = std::int64_t{1} << block.value_shift;
    for (std::int64_t pair = pairs.begin; pair < pairs.end; ++pair) {
      const std::uint32_t mask = (2 * pair < visible.begin ? 0u : 0x0000ffffu) | (2 * pair + 1 >= visible.end ? 0u : 0xffff0000u);
      const Words weight = broadcast_word(attend_line_pair<Isa>(weights + pair / kLanes * row_count * kLineWords, pair % kLanes) & mask);
      const std::uint32_t* values = block.values[pair >> block.value_shift] + (pair & (run_pairs - 1)) * block.value_stride;
      for (std::int64_t d = 0; d < block.value_stride; d += kLanes) {
        store(sums + d, Isa::dot(load(sums + d), load_words(values + d) & mask, weight));
      }
    }
  }
};

}  // namespace slora::cpu
