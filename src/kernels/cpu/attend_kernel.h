#pragma once
#include "kernels/cpu/attend_state.h"
#include "kernels/cpu/attend_tile.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/kv_block.h"

namespace slora::cpu {

// Attention of a few queries under one kv head. Rows are (query, head of the group), in tiles that fit the registers. Keys are split at
// multiples of kSplitKeys: each split is a softmax of its own, block by block with running maximum and sum, and splits are merged in
// order, whoever computed them. Scores and weights lie with keys along the lanes. Keys that a row does not see are left out by
// position, never by value: pages may hold anything there. So the bits of a row depend on its query, its position and the keys up to
// it, and on nothing else.
template <class Isa>
class AttendKernel {
 public:
  static std::size_t scratch_bytes(const KvLayer& layer, std::int64_t rows) { return lay_out(nullptr, layer, rows).bytes; }
  static std::size_t part_bytes(const KvLayer& layer, std::int64_t rows) {
    return static_cast<std::size_t>(State::words(rows, layer.head_dim)) * sizeof(float);
  }

  static void run(const AttendCall& call, const AttendCall* next, std::byte* scratch) {
    const std::int64_t rows = call.query_count * call.group;
    Room room = lay_out(scratch, *call.layer, rows);
    if (call.part != nullptr) room.states[0] = part_state(call);
    room.block.point_at(room.queries);
    start_rows(call, room, rows);
    for (std::int64_t begin = call.key_begin; begin < call.key_end; begin = split_end(begin)) {
      const bool first = begin == call.key_begin;
      const State& state = room.states[first ? 0 : 1];
      state.clear();
      const std::int64_t end = least(split_end(begin), call.key_end);
      for (std::int64_t position = begin / kKeyBlock * kKeyBlock; position < end; position += kKeyBlock) {
        find_block(call, next, position, room);
        for (std::int64_t row = 0; row < rows; row += kTileRows) attend_block(call, room, state, row, least(kTileRows, rows - row));
      }
      if (!first) room.states[0].merge(state);
    }
    if (call.part == nullptr) finish_rows(call, room.states[0]);
  }

  // Rows of out from what run() left in the parts of one call.
  static void merge(std::span<const AttendCall> parts) {
    const State state = part_state(parts[0]);
    for (std::size_t i = 1; i < parts.size(); ++i) state.merge(part_state(parts[i]));
    finish_rows(parts[0], state);
  }

 private:
  using State = AttendState<Isa>;
  using Block = KvBlock<Isa>;

  static constexpr std::int64_t kTileRows = Isa::kTileRows;
  static constexpr int kKeyVectors = Isa::rows_max(2) >= Isa::kTileRows ? 2 : 1;
  static constexpr std::int64_t kLineKeys = 2 * kLanes;  // of a line of weights
  static constexpr std::int64_t kBlockLines = kKeyBlock / kLineKeys;
  static constexpr float kLowest = -__builtin_inff();

  struct Room {
    State states[2];        // of all splits so far, and of the one at hand
    std::int64_t position;  // of the block's first key
    Block block;
    Block ahead;  // what will be read next, or again the block where that is nothing
    KvRoom copies;
    std::int32_t* positions;           // [rows]
    std::uint32_t* queries;            // per tile [head_dim / 32, rows of the tile, 16]
    std::uint32_t* weights;            // [4, rows of a tile, 16]: of each pair of keys
    float* scores;                     // [rows of a tile, 128]
    const std::uint32_t** key_runs;    // [head_dim / 32]
    const std::uint32_t** ahead_runs;  // [head_dim / 32]
    std::size_t bytes;
  };

  static Room lay_out(std::byte* scratch, const KvLayer& layer, std::int64_t rows) {
    Room room{};
    std::size_t used = 0;
    const auto take = [&]<class T>(T*& begin, std::int64_t count) {
      begin = scratch == nullptr ? nullptr : reinterpret_cast<T*>(scratch + used);
      used += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    };
    const std::int64_t pairs = layer.head_dim / 2;
    const std::int64_t lines = (pairs + kLanes - 1) / kLanes;
    for (State& state : room.states) {
      float* memory = nullptr;
      take(memory, State::words(rows, layer.head_dim));
      state = State::at(memory, rows, layer.head_dim);
    }
    take(room.copies.keys, pairs * kKeyBlock);
    take(room.copies.values, kKeyBlock / 2 * State::whole_vectors(layer.head_dim));
    take(room.positions, rows);
    take(room.queries, lines * rows * kLanes);
    take(room.weights, kBlockLines * kTileRows * kLanes);
    take(room.scores, kTileRows * kKeyBlock);
    take(room.key_runs, lines);
    take(room.ahead_runs, lines);
    room.bytes = used;
    return room;
  }

  static State part_state(const AttendCall& call) {
    return State::at(reinterpret_cast<float*>(call.part), call.query_count * call.group, call.layer->head_dim);
  }
  static std::int64_t split_end(std::int64_t key) { return (key / kSplitKeys + 1) * kSplitKeys; }
  static std::int64_t batch_row(const AttendCall& call, std::int64_t row) {
    return call.span->row_begin + call.query_begin + row / call.group;
  }
  static std::int64_t column(const AttendCall& call, std::int64_t row) {
    return (static_cast<std::int64_t>(call.kv_head) * call.group + row % call.group) * call.layer->head_dim;
  }

  static void start_rows(const AttendCall& call, const Room& room, std::int64_t rows) {
    const std::int64_t dim = call.layer->head_dim;
    const std::int64_t lines = (dim / 2 + kLanes - 1) / kLanes;
    for (std::int64_t begin = 0; begin < rows; begin += kTileRows) {
      const std::int64_t height = least(kTileRows, rows - begin);
      for (std::int64_t r = 0; r < height; ++r) {
        const std::int64_t row = begin + r;
        room.positions[row] = static_cast<std::int32_t>(call.span->position_begin + call.query_begin + row / call.group);
        const float* q = call.q.row<const float>(batch_row(call, row)) + column(call, row);
        for (std::int64_t line = 0; line < lines; ++line) {
          const std::int64_t rest = dim - line * kLineKeys;
          const Floats low = rest >= kLanes ? load(q + line * kLineKeys) : load_head(q + line * kLineKeys, rest);
          const Floats high = rest >= kLineKeys ? load(q + line * kLineKeys + kLanes)
                              : rest > kLanes   ? load_head(q + line * kLineKeys + kLanes, rest - kLanes)
                                                : Floats{};
          const Words words = Isa::bfloat16_words(low, high);
          __builtin_memcpy(room.queries + (begin * lines + line * height + r) * kLanes, &words, sizeof words);
        }
      }
    }
  }

  static KvRange range_of(const AttendCall& call, std::int64_t position) {
    return {call.layer,
            call.span->pages.data(),
            call.kv_head,
            position,
            greatest(call.key_begin / kLineKeys * kLineKeys, position),
            least(call.key_end, position + kKeyBlock)};
  }

  // The block at `position`, and what will be read a block later: keys of this call, then, following on in whole lines, of the next.
  static void find_block(const AttendCall& call, const AttendCall* next, std::int64_t position, Room& room) {
    const KvRange range = range_of(call, position);
    const KvRange ahead = range_of(call, position + kKeyBlock);
    room.position = position;
    room.block.find(range);
    room.block.copy(range, ahead, room.copies);
    room.ahead = room.block;
    room.ahead.find(ahead);
    const std::int64_t over = position + 2 * kKeyBlock - (call.key_end + kLineKeys - 1) / kLineKeys * kLineKeys;
    if (over <= 0 || next == nullptr) return;
    const std::int64_t first = next->key_begin / kLineKeys * kLineKeys;
    KvRange later = range_of(*next, first + over - kKeyBlock);
    later.begin = greatest(later.begin, first);
    room.ahead.find(later);
  }

  // Keys of a block that a row sees.
  struct Range {
    std::int64_t begin, end;

    [[nodiscard]] bool empty() const { return begin >= end; }
  };

  static Range visible_keys(const AttendCall& call, std::int64_t position, std::int64_t block_position) {
    const std::int64_t first = call.params.window > 0 ? position - call.params.window + 1 : 0;
    return {greatest(first - block_position, 0), least(position + 1 - block_position, kKeyBlock)};
  }

  // Rows [row, row + rows) of one tile over one block of keys.
  static void attend_block(const AttendCall& call, const Room& room, const State& state, std::int64_t row, std::int64_t rows) {
    Range visible[kTileRows];
    for (std::int64_t r = 0; r < rows; ++r) visible[r] = visible_keys(call, room.positions[row + r], room.position);
    // Ranges grow with the row: what the first and the last see tells what any and what all see.
    const Range any{visible[0].begin, visible[rows - 1].end};
    if (any.empty()) return;
    score_keys(call, room, row, rows, any);
    const float scale = call.params.scale * kLog2E;
    if (visible[rows - 1].begin == 0 && visible[0].end == kKeyBlock) {
      weigh<true>(room, state, row, rows, visible, scale);
      add_common(room, state, row, rows, {0, kKeyBlock / 2});
    } else {
      hide_unseen(room, rows, visible);
      weigh<false>(room, state, row, rows, visible, scale);
      add_values(room, state, row, rows, visible);
    }
  }

  // scores [rows, 128] = q K for all lines of keys that any row sees
  static void score_keys(const AttendCall& call, const Room& room, std::int64_t row, std::int64_t rows, Range any) {
    const std::int64_t pairs = call.layer->head_dim / 2;
    const std::int64_t lines = (pairs + kLanes - 1) / kLanes;
    const std::uint32_t* const* keys = room.block.keys;
    const std::uint32_t* const* ahead = ahead_of(room, row).keys;
    for (std::int64_t key = any.begin / kLineKeys * kLineKeys; key < any.end; key += kKeyVectors * kLanes) {
      const std::int64_t vector = key / kLanes;
      for (std::int64_t i = 0; i < lines; ++i) {
        room.key_runs[i] = keys[vector] + i * kLanes * room.block.key_stride;
        room.ahead_runs[i] = ahead[vector] + i * kLanes * room.block.key_stride;
      }
      AttendTileArgs args{.out = room.scores + key,
                          .out_stride = kKeyBlock,
                          .x = room.queries + row * lines * kLanes,
                          .runs = room.key_runs,
                          .ahead = room.ahead_runs,
                          .run_shift = 4,
                          .pair_stride = room.block.key_stride,
                          .end = pairs};
      if constexpr (kKeyVectors == 2) {  // a second vector that nobody sees may have no page
        args.vector_stride = key + kLanes < any.end ? keys[vector + 1] - keys[vector] : 0;
        args.ahead_stride = ahead[vector + 1] - ahead[vector];
      }
      attend_tile_of_rows<Isa, kTileRows, kKeyVectors, AttendStart::zero>(rows, args);
    }
  }

  // The first tile asks for what the others will find.
  static const Block& ahead_of(const Room& room, std::int64_t row) { return row == 0 ? room.ahead : room.block; }

  // Gives keys that rows do not see, in lines that they do, the lowest score.
  static void hide_unseen(const Room& room, std::int64_t rows, const Range* visible) {
    const Ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (std::int64_t r = 0; r < rows; ++r) {
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
  static void weigh(const Room& room, const State& state, std::int64_t row, std::int64_t rows, const Range* visible, float scale) {
    const auto for_lines = [&](std::int64_t r, auto&& visit) {
      const std::int64_t end = kWhole ? kBlockLines : (visible[r].end + kLineKeys - 1) / kLineKeys;
      for (std::int64_t line = kWhole ? 0 : visible[r].begin / kLineKeys; line < end; ++line) visit(line);
    };
    alignas(64) float peaks[kLanes] = {};
    for (std::int64_t r = 0; r < rows; ++r) {
      Floats peak = broadcast(kLowest);
      for_lines(r, [&](std::int64_t line) {
        const float* scores = room.scores + r * kKeyBlock + line * kLineKeys;
        peak = larger(larger(load(scores), load(scores + kLanes)), peak);
      });
      peaks[r] = Isa::maximum(peak);
    }
    const Floats before = load(state.highest + row);
    const Floats highest = larger(load(peaks) * scale, before);
    const Floats origin = highest == broadcast(kLowest) ? Floats{} : highest;
    alignas(64) float factors[kLanes];
    alignas(64) float origins[kLanes];
    store(peaks, highest);
    store(origins, origin);
    store(factors, Isa::exp2(before - origin));
    for (std::int64_t r = 0; r < rows; ++r) {
      if (!kWhole && visible[r].empty()) continue;
      state.highest[row + r] = peaks[r];
      if (factors[r] != 1.0f) {
        float* sums = state.sums + (row + r) * state.dim;
        for (std::int64_t d = 0; d < state.dim; d += kLanes) store(sums + d, load(sums + d) * factors[r]);
      }
      Floats total = load(state.totals + (row + r) * kLanes) * factors[r];
      const Floats scales = broadcast(scale);
      const Floats shift = broadcast(-origins[r]);
      for_lines(r, [&](std::int64_t line) {
        const float* scores = room.scores + r * kKeyBlock + line * kLineKeys;
        const Floats low = Isa::exp2(Isa::multiply_add(load(scores), scales, shift));
        const Floats high = Isa::exp2(Isa::multiply_add(load(scores + kLanes), scales, shift));
        const Words words = Isa::bfloat16_words(low, high);
        __builtin_memcpy(room.weights + (line * rows + r) * kLanes, &words, sizeof words);
        // The sum is of what will be multiplied, so that the weights add up to 1.
        total = Isa::dot(total, words, broadcast_word(0x3f803f80));
      });
      store(state.totals + (row + r) * kLanes, total);
    }
  }

  // sums += weights V where not all is visible: pairs of keys that all rows see in tiles, those before and after that only some see row by
  // row. Each row takes its pairs in order.
  static void add_values(const Room& room, const State& state, std::int64_t row, std::int64_t rows, const Range* visible) {
    Range common{(visible[rows - 1].begin + 1) / 2, visible[0].end / 2};
    if (common.empty()) common = {kKeyBlock / 2, kKeyBlock / 2};
    for (std::int64_t r = 0; r < rows && visible[0].begin / 2 < common.begin; ++r) {
      add_pairs(room, state, row, r, rows, visible[r], {visible[r].begin / 2, least(common.begin, (visible[r].end + 1) / 2)});
    }
    if (!common.empty()) add_common(room, state, row, rows, common);
    if (row == 0) room.ahead.ask_for_values(common.end, (visible[rows - 1].end + kLineKeys - 1) / kLineKeys * kLanes);
    for (std::int64_t r = 0; r < rows && visible[rows - 1].end > 2 * common.end; ++r) {
      add_pairs(room, state, row, r, rows, visible[r], {common.end, (visible[r].end + 1) / 2});
    }
  }

  static void add_common(const Room& room, const State& state, std::int64_t row, std::int64_t rows, Range pairs) {
    AttendTileArgs args{.out = state.sums + row * state.dim,
                        .out_stride = state.dim,
                        .x = room.weights,
                        .runs = room.block.values,
                        .ahead = ahead_of(room, row).values,
                        .run_shift = room.block.value_shift,
                        .pair_stride = room.block.value_stride,
                        .begin = pairs.begin,
                        .end = pairs.end};
    std::int64_t column = 0;
    const auto go = [&]<int kVectors>(std::integral_constant<int, kVectors>) {
      constexpr std::int64_t kCols = kVectors * kLanes;
      constexpr int kRowsMax = static_cast<int>(least(Isa::rows_max(kVectors), kTileRows));
      if constexpr (kRowsMax > 0) {
        for (; rows <= kRowsMax && state.dim - column >= kCols; column += kCols) {
          args.run_offset = column;
          attend_tile_of_rows<Isa, kRowsMax, kVectors, AttendStart::out>(rows, args);
          args.out += kCols;
        }
      }
    };
    go(std::integral_constant<int, 4>{});
    go(std::integral_constant<int, 2>{});
    go(std::integral_constant<int, 1>{});
  }

  // Pairs of row `r` of a tile; a key of them that it does not see is masked out of the values.
  static void add_pairs(const Room& room, const State& state, std::int64_t row, std::int64_t r, std::int64_t rows, Range visible,
                        Range pairs) {
    const Block& block = room.block;
    float* out = state.sums + (row + r) * state.dim;
    const std::int64_t run_pairs = std::int64_t{1} << block.value_shift;
    for (std::int64_t pair = pairs.begin; pair < pairs.end; ++pair) {
      const std::uint32_t mask = (2 * pair < visible.begin ? 0u : 0x0000ffffu) | (2 * pair + 1 >= visible.end ? 0u : 0xffff0000u);
      const Words weight = broadcast_word(room.weights[(pair / kLanes * rows + r) * kLanes + pair % kLanes] & mask);
      const std::uint32_t* values = block.values[pair >> block.value_shift] + (pair & (run_pairs - 1)) * block.value_stride;
      for (std::int64_t d = 0; d < state.dim; d += kLanes) store(out + d, Isa::dot(load(out + d), load_words(values + d) & mask, weight));
    }
  }

  static void finish_rows(const AttendCall& call, const State& state) {
    for (std::int64_t row = 0; row < state.rows; ++row) {
      state.write_row(call.out.row<Bfloat16>(batch_row(call, row)) + column(call, row), row, call.layer->head_dim);
    }
  }
};

}  // namespace slora::cpu
