#pragma once
#include "kernels/cpu/attend_room.h"
#include "kernels/cpu/attend_tile.h"
#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// One tile of rows over one block of keys: scores, their softmax beside what was summed before, and weights times values. Keys that
// a row does not see are left out by position, never by value: pages may hold anything there.
template <class Isa>
class AttendBlockKernel {
 public:
  using Room = AttendRoom<Isa>;
  using State = AttendState<Isa>;

  // Rows of a call; at most Isa::kTileRows.
  struct Rows {
    std::int64_t begin, count;
  };

  // Takes the keys of room.block into `state`. Requires: room.positions and room.queries of these rows.
  static void run(const AttendCall& call, const Room& room, const State& state, Rows rows) {
    Range visible[kTileRows];
    for (std::int64_t r = 0; r < rows.count; ++r) visible[r] = visible_keys(call, room.positions[rows.begin + r], room.position);
    // Ranges grow with the row: what the first and the last see tells what any and what all see.
    const Range any{visible[0].begin, visible[rows.count - 1].end};
    if (any.empty()) return;
    score_keys(call, room, rows, any);
    const float scale = call.params.scale * kLog2E;
    if (visible[rows.count - 1].begin == 0 && visible[0].end == kKeyBlock) {
      weigh<true>(room, state, rows, visible, scale);
      add_common(room, state, rows, {0, kKeyBlock / 2});
    } else {
      hide_unseen(room, rows.count, visible);
      weigh<false>(room, state, rows, visible, scale);
      add_values(room, state, rows, visible);
    }
  }

 private:
  using Block = KvBlock<Isa>;

  static constexpr std::int64_t kTileRows = Room::kTileRows;
  static constexpr std::int64_t kLineKeys = Room::kLineKeys;
  static constexpr std::int64_t kBlockLines = Room::kBlockLines;
  static constexpr int kKeyVectors = Isa::rows_max(2) >= Isa::kTileRows ? 2 : 1;
  static constexpr float kLowest = -__builtin_inff();

  // Keys of a block that a row sees.
  struct Range {
    std::int64_t begin, end;

    [[nodiscard]] bool empty() const { return begin >= end; }
  };

  static Range visible_keys(const AttendCall& call, std::int64_t position, std::int64_t block_position) {
    const std::int64_t first = call.params.window > 0 ? position - call.params.window + 1 : 0;
    return {greatest(first - block_position, 0), least(position + 1 - block_position, kKeyBlock)};
  }

  // scores [rows, 128] = q K for all lines of keys that any row sees
  static void score_keys(const AttendCall& call, const Room& room, Rows rows, Range any) {
    const std::int64_t lines = Room::head_lines(call.layer->head_dim);
    const std::uint32_t* const* keys = room.block.keys;
    const std::uint32_t* const* ahead = ahead_of(room, rows).keys;
    for (std::int64_t key = any.begin / kLineKeys * kLineKeys; key < any.end; key += kKeyVectors * kLanes) {
      const std::int64_t vector = key / kLanes;
      for (std::int64_t i = 0; i < lines; ++i) {
        room.key_runs[i] = keys[vector] + i * kLanes * room.block.key_stride;
        room.ahead_runs[i] = ahead[vector] + i * kLanes * room.block.key_stride;
      }
      AttendTileArgs args{.out = room.scores + key,
                          .out_stride = kKeyBlock,
                          .x = room.queries + rows.begin * lines * kLanes,
                          .runs = room.key_runs,
                          .ahead = room.ahead_runs,
                          .run_shift = 4,
                          .pair_stride = room.block.key_stride,
                          .end = call.layer->head_dim / 2};
      if constexpr (kKeyVectors == 2) {  // a second vector that nobody sees may have no page
        args.vector_stride = key + kLanes < any.end ? keys[vector + 1] - keys[vector] : 0;
        args.ahead_stride = ahead[vector + 1] - ahead[vector];
      }
      attend_tile_of_rows<Isa, kTileRows, kKeyVectors, AttendStart::zero>(rows.count, args);
    }
  }

  // The first tile asks for what the others will find.
  static const Block& ahead_of(const Room& room, Rows rows) { return rows.begin == 0 ? room.ahead : room.block; }

  // Gives keys that rows do not see, in lines that they do, the lowest score.
  static void hide_unseen(const Room& room, std::int64_t row_count, const Range* visible) {
    const Ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (std::int64_t r = 0; r < row_count; ++r) {
      const auto begin = static_cast<std::int32_t>(visible[r].begin);
      const auto end = static_cast<std::int32_t>(visible[r].end);
      for (std::int64_t key = begin / kLineKeys * kLineKeys; key < (end + kLineKeys - 1) / kLineKeys * kLineKeys; key += kLanes) {
        if (key >= begin && key + kLanes <= end) continue;
        float* at = room.scores + r * kKeyBlock + key;
        const Ints keys = lanes + static_cast<std::int32_t>(key);
        store(at, ((keys >= begin) & (keys < end)) ? load(at) : broadcast(kLowest));
      }
    }
  }

  // Scores to bf16 weights relative to the highest score so far; what was summed before is scaled to that. kWhole: all rows see all keys.
  template <bool kWhole>
  static void weigh(const Room& room, const State& state, Rows rows, const Range* visible, float scale) {
    const auto for_lines = [&](std::int64_t r, auto&& visit) {
      const std::int64_t end = kWhole ? kBlockLines : (visible[r].end + kLineKeys - 1) / kLineKeys;
      for (std::int64_t line = kWhole ? 0 : visible[r].begin / kLineKeys; line < end; ++line) visit(line);
    };
    alignas(64) float peaks[kLanes] = {};
    for (std::int64_t r = 0; r < rows.count; ++r) {
      Floats peak = broadcast(kLowest);
      for_lines(r, [&](std::int64_t line) {
        const float* scores = room.scores + r * kKeyBlock + line * kLineKeys;
        peak = larger(larger(load(scores), load(scores + kLanes)), peak);
      });
      peaks[r] = Isa::maximum(peak);
    }
    const Floats before = load(state.highest + rows.begin);
    const Floats highest = larger(load(peaks) * scale, before);
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
        const float* scores = room.scores + r * kKeyBlock + line * kLineKeys;
        const Floats low = Isa::exp2(Isa::multiply_add(load(scores), scales, shift));
        const Floats high = Isa::exp2(Isa::multiply_add(load(scores + kLanes), scales, shift));
        const Words words = Isa::bfloat16_words(low, high);
        __builtin_memcpy(room.weights + (line * rows.count + r) * kLanes, &words, sizeof words);
        // The sum is of what will be multiplied, so that the weights add up to 1.
        total = Isa::dot(total, words, broadcast_word(0x3f803f80));
      });
      store(state.totals + row * kLanes, total);
    }
  }

  // sums += weights V where not all is visible: pairs of keys that all rows see in tiles, those before and after that only some see row by
  // row. Each row takes its pairs in order.
  static void add_values(const Room& room, const State& state, Rows rows, const Range* visible) {
    const Range& last = visible[rows.count - 1];
    Range common{(last.begin + 1) / 2, visible[0].end / 2};
    if (common.empty()) common = {kKeyBlock / 2, kKeyBlock / 2};
    const auto add_alone = [&](std::int64_t r, Range pairs) {
      add_pairs(room, state.sums + (rows.begin + r) * state.dim, room.weights + r * kLanes, rows.count, visible[r], pairs);
    };
    for (std::int64_t r = 0; r < rows.count && visible[0].begin / 2 < common.begin; ++r) {
      add_alone(r, {visible[r].begin / 2, least(common.begin, (visible[r].end + 1) / 2)});
    }
    if (!common.empty()) add_common(room, state, rows, common);
    if (rows.begin == 0) room.ahead.ask_for_values(common.end, (last.end + kLineKeys - 1) / kLineKeys * kLanes);
    for (std::int64_t r = 0; r < rows.count && last.end > 2 * common.end; ++r) {
      add_alone(r, {common.end, (visible[r].end + 1) / 2});
    }
  }

  static void add_common(const Room& room, const State& state, Rows rows, Range pairs) {
    AttendTileArgs args{.out = state.sums + rows.begin * state.dim,
                        .out_stride = state.dim,
                        .x = room.weights,
                        .runs = room.block.values,
                        .ahead = ahead_of(room, rows).values,
                        .run_shift = room.block.value_shift,
                        .pair_stride = room.block.value_stride,
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

  // sums [dim] += weights [4, row_count, 16] V over some pairs of one row; a key of them that it does not see is masked out of the values.
  static void add_pairs(const Room& room, float* sums, const std::uint32_t* weights, std::int64_t row_count, Range visible, Range pairs) {
    const Block& block = room.block;
    const std::int64_t run_pairs = std::int64_t{1} << block.value_shift;
    for (std::int64_t pair = pairs.begin; pair < pairs.end; ++pair) {
      const std::uint32_t mask = (2 * pair < visible.begin ? 0u : 0x0000ffffu) | (2 * pair + 1 >= visible.end ? 0u : 0xffff0000u);
      const Words weight = broadcast_word(weights[pair / kLanes * row_count * kLanes + pair % kLanes] & mask);
      const std::uint32_t* values = block.values[pair >> block.value_shift] + (pair & (run_pairs - 1)) * block.value_stride;
      for (std::int64_t d = 0; d < block.value_stride; d += kLanes) {
        store(sums + d, Isa::dot(load(sums + d), load_words(values + d) & mask, weight));
      }
    }
  }
};

}  // namespace slora::cpu
