#pragma once
#include "kernels/cpu/attend_block_kernel.h"
#include "kernels/cpu/attend_scratch.h"
#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// Attention of a few queries under one kv head. Rows are (query, head of the group). Keys are split at multiples of kSplitKeys: the softmax
// of each split is computed on its own, block by block with a running maximum and sum, and splits are merged in order, whichever threads
// computed them. So the bits of a row depend on its query, its position and the keys up to it, and on nothing else.
template <class Isa>
class AttendKernel {
 public:
  static std::size_t scratch_bytes(const KvLayer& layer, std::int64_t rows) { return Scratch::lay_out(nullptr, layer, rows).bytes; }
  static std::size_t part_bytes(const KvLayer& layer, std::int64_t rows) {
    return static_cast<std::size_t>(State::words(rows, layer.head_dim)) * sizeof(float);
  }

  static void run(const AttendCall& call, const AttendCall* next, std::byte* memory) {
    const std::int64_t rows = call.query_count * call.group;
    Scratch scratch = Scratch::lay_out(memory, *call.layer, rows);
    if (call.part != nullptr) scratch.states[0] = part_state(call);
    scratch.block.point_at(scratch.queries);
    start_rows(call, scratch, rows);
    for (std::int64_t begin = call.key_begin; begin < call.key_end; begin = split_end(begin)) {
      const bool first = begin == call.key_begin;
      const State& state = scratch.states[first ? 0 : 1];
      state.clear();
      const std::int64_t end = least(split_end(begin), call.key_end);
      for (std::int64_t position = begin / kKeyBlock * kKeyBlock; position < end; position += kKeyBlock) {
        find_block(call, next, position, scratch);
        for (std::int64_t row = 0; row < rows; row += kTileRows) {
          AttendBlockKernel<Isa>::run(call, scratch, state, {row, least(kTileRows, rows - row)});
        }
      }
      if (!first) scratch.states[0].merge(state);
    }
    if (call.part == nullptr) finish_rows(call, scratch.states[0]);
  }

  // Computes rows of out from the partial results that run() left for the parts of one call.
  static void merge(std::span<const AttendCall> parts) {
    const State state = part_state(parts[0]);
    for (std::size_t i = 1; i < parts.size(); ++i) state.merge(part_state(parts[i]));
    finish_rows(parts[0], state);
  }

 private:
  using State = AttendState<Isa>;
  using Scratch = AttendScratch<Isa>;

  static constexpr std::int64_t kTileRows = Scratch::kTileRows;
  static constexpr std::int64_t kLineKeys = Scratch::kLineKeys;

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

  static void start_rows(const AttendCall& call, const Scratch& scratch, std::int64_t rows) {
    const std::int64_t dim = call.layer->head_dim;
    const std::int64_t lines = Scratch::head_lines(dim);
    for (std::int64_t begin = 0; begin < rows; begin += kTileRows) {
      const std::int64_t height = least(kTileRows, rows - begin);
      for (std::int64_t r = 0; r < height; ++r) {
        const std::int64_t row = begin + r;
        scratch.positions[row] = static_cast<std::int32_t>(call.span->position_begin + call.query_begin + row / call.group);
        const float* q = call.q.row<const float>(batch_row(call, row)) + column(call, row);
        for (std::int64_t line = 0; line < lines; ++line) {
          const std::int64_t rest = dim - line * kLineKeys;
          const Floats low = rest >= kLanes ? load(q + line * kLineKeys) : load_head(q + line * kLineKeys, rest);
          const Floats high = rest >= kLineKeys ? load(q + line * kLineKeys + kLanes)
                              : rest > kLanes   ? load_head(q + line * kLineKeys + kLanes, rest - kLanes)
                                                : Floats{};
          const Words words = Isa::bfloat16_words(low, high);
          store_attend_line<Isa>(scratch.queries + (begin * lines + line * height + r) * Scratch::kLineWords, words);
        }
      }
    }
  }

  static KvRange range_of(const AttendCall& call, std::int64_t position) {
    return {call.layer,
            call.pages,
            call.kv_head,
            position,
            greatest(call.key_begin / kLineKeys * kLineKeys, position),
            least(call.key_end, position + kKeyBlock)};
  }

  // Locates the block at `position`, and what will be read one block later: keys of this call and, from the next whole line on, of the next
  // call.
  static void find_block(const AttendCall& call, const AttendCall* next, std::int64_t position, Scratch& scratch) {
    const KvRange range = range_of(call, position);
    const KvRange upcoming = range_of(call, position + kKeyBlock);
    scratch.position = position;
    scratch.block.find(range);
    scratch.block.copy(range, upcoming, scratch.copies);
    scratch.upcoming = scratch.block;
    scratch.upcoming.find(upcoming);
    const std::int64_t over = position + 2 * kKeyBlock - (call.key_end + kLineKeys - 1) / kLineKeys * kLineKeys;
    if (over <= 0 || next == nullptr) return;
    const std::int64_t first = next->key_begin / kLineKeys * kLineKeys;
    KvRange later = range_of(*next, first + over - kKeyBlock);
    later.begin = greatest(later.begin, first);
    scratch.upcoming.find(later);
  }

  static void finish_rows(const AttendCall& call, const State& state) {
    for (std::int64_t row = 0; row < state.rows; ++row) {
      state.write_row(call.out.row<Bfloat16>(batch_row(call, row)) + column(call, row), row, call.layer->head_dim);
    }
  }
};

}  // namespace slora::cpu
