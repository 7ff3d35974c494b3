#pragma once
#include "kernels/cpu/attend_state.h"
#include "kernels/cpu/kv_block.h"

namespace slora::cpu {

// What one call of attention works in, laid out in its thread's scratch. Rows are pairs of query and head, in tiles that fit the
// registers; keys lie along the lanes, in lines of 32 within blocks of 128.
template <class Isa>
struct AttendRoom {
  using State = AttendState<Isa>;

  static constexpr std::int64_t kTileRows = Isa::kTileRows;
  static constexpr std::int64_t kLineKeys = 2 * kLanes;  // as many as a vector of weights holds
  static constexpr std::int64_t kBlockLines = kKeyBlock / kLineKeys;

  State states[2];            // of all splits so far, and of the one at hand
  std::int64_t position = 0;  // of the block's first key
  KvBlock<Isa> block;
  KvBlock<Isa> ahead;  // what will be read next, or again the block where that is nothing
  KvRoom copies;
  std::int32_t* positions = nullptr;           // [rows]
  std::uint32_t* queries = nullptr;            // per tile [head_dim / 32, rows of the tile, 16]
  std::uint32_t* weights = nullptr;            // [4, rows of a tile, 16]: of each pair of keys
  float* scores = nullptr;                     // [rows of a tile, 128]
  const std::uint32_t** key_runs = nullptr;    // [head_dim / 32]
  const std::uint32_t** ahead_runs = nullptr;  // [head_dim / 32]
  std::size_t bytes = 0;

  // Of the lines that hold a head's pairs.
  static std::int64_t head_lines(std::int64_t head_dim) { return (head_dim / 2 + kLanes - 1) / kLanes; }

  // With `scratch` null only `bytes` means something.
  static AttendRoom lay_out(std::byte* scratch, const KvLayer& layer, std::int64_t rows) {
    AttendRoom room{};
    std::size_t used = 0;
    const auto take = [&]<class T>(T*& begin, std::int64_t count) {
      begin = scratch == nullptr ? nullptr : reinterpret_cast<T*>(scratch + used);
      used += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    };
    const std::int64_t lines = head_lines(layer.head_dim);
    for (State& state : room.states) {
      float* memory = nullptr;
      take(memory, State::words(rows, layer.head_dim));
      state = State::at(memory, rows, layer.head_dim);
    }
    take(room.copies.keys, layer.head_dim / 2 * kKeyBlock);
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
};

}  // namespace slora::cpu
