#pragma once
#include "kernels/cpu/attend_state.h"
#include "kernels/cpu/attend_tile.h"
#include "kernels/cpu/kv_block.h"

namespace slora::cpu {

// The working memory of one call of attention, laid out in its thread's scratch. Rows are pairs of query and head, in tiles that fit the
// registers; keys lie along the lanes, in lines of 32 within blocks of 128.
template <class Isa>
struct AttendScratch {
  using State = AttendState<Isa>;

  static constexpr std::int64_t kTileRows = Isa::kTileRows;
  static constexpr std::int64_t kLineKeys = 2 * kLanes;  // as many as a vector of bf16 weights holds
  static constexpr std::int64_t kBlockLines = kKeyBlock / kLineKeys;
  static constexpr std::int64_t kLineWords = kAttendLineWords<Isa>;

  State states[2];            // of all splits so far, and of the current one
  std::int64_t position = 0;  // of the block's first key
  KvBlock<Isa> block;
  KvBlock<Isa> upcoming;  // what will be read next, to prefetch it; equal to `block` where nothing follows
  KvCopies copies;
  std::int32_t* positions = nullptr;              // [rows]
  std::uint32_t* queries = nullptr;               // per tile [head_dim / 32, rows of the tile], each a line of 16 pairs
  std::uint32_t* weights = nullptr;               // [4, rows of a tile], each a line of 16 pairs of keys
  float* scores = nullptr;                        // [rows of a tile, 128]
  const std::uint32_t** key_runs = nullptr;       // [head_dim / 32]
  const std::uint32_t** prefetch_runs = nullptr;  // [head_dim / 32]
  std::size_t bytes = 0;

  // How many lines of 16 words hold the pairs of one head.
  static std::int64_t head_lines(std::int64_t head_dim) { return (head_dim / 2 + kLanes - 1) / kLanes; }

  // With a null `base` only `bytes` of the result is meaningful.
  static AttendScratch lay_out(std::byte* base, const KvLayer& layer, std::int64_t rows) {
    AttendScratch scratch{};
    std::size_t used = 0;
    const auto take = [&]<class T>(T*& begin, std::int64_t count) {
      begin = base == nullptr ? nullptr : reinterpret_cast<T*>(base + used);
      used += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    };
    const std::int64_t lines = head_lines(layer.head_dim);
    for (State& state : scratch.states) {
      float* memory = nullptr;
      take(memory, State::words(rows, layer.head_dim));
      state = State::at(memory, rows, layer.head_dim);
    }
    take(scratch.copies.keys, layer.head_dim / 2 * kKeyBlock);
    take(scratch.copies.values, kKeyBlock / 2 * State::whole_vectors(layer.head_dim));
    take(scratch.positions, rows);
    take(scratch.queries, lines * rows * kLineWords);
    take(scratch.weights, kBlockLines * kTileRows * kLineWords);
    take(scratch.scores, kTileRows * kKeyBlock);
    take(scratch.key_runs, lines);
    take(scratch.prefetch_runs, lines);
    scratch.bytes = used;
    return scratch;
  }
};

}  // namespace slora::cpu
