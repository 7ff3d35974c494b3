#pragma once
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/kv_words.h"
#include "kernels/cpu/tile.h"

namespace slora::cpu {

// Attention of a few queries under one kv head, block by block of 32 keys that begin at multiples of 32, with running maximum and
// sum. Rows are (query, head of the group). Keys a row does not see are left out by position, never by value: pages may hold
// anything there. So the bits of a row depend on its query, its position and the keys up to it, and on nothing else.
template <class Isa>
class AttendKernel {
 public:
  static std::size_t scratch_bytes(const KvLayer& layer, std::int32_t group, std::int32_t query_count) {
    return lay_out(nullptr, layer, group * query_count).bytes;
  }

  static void run(const AttendCall& call, std::byte* scratch) {
    const KvLayer& layer = *call.layer;
    const std::int64_t rows = call.query_count * call.group;
    const Room room = lay_out(scratch, layer, rows);
    start_rows(call, room, rows);
    const std::int64_t first = first_key(call, position_of(call, 0));
    const std::int64_t end = position_of(call, rows - 1) + 1;
    for (std::int64_t begin = first / kKeyBlock * kKeyBlock; begin < end; begin += kKeyBlock) {
      const KvBlock block = find_block(layer, call.span->pages, call.kv_head, begin, end, room.keys, room.values);
      for (std::int64_t row = 0; row < rows; row += Isa::kTileRows) attend_block(call, room, row, least(Isa::kTileRows, rows - row), block);
    }
    finish_rows(call, room, rows);
  }

 private:
  static constexpr std::int64_t kBlockPairs = kKeyBlock / 2;

  // Scratch, with dim = head_dim in whole vectors.
  struct Room {
    std::int64_t dim;
    std::uint32_t* queries;  // per tile [head_dim / 2, tile rows]
    std::uint32_t* weights;  // per tile [16, tile rows]: of each pair of keys
    std::uint32_t* keys;     // [head_dim / 2, 32], for blocks that several pages hold
    std::uint32_t* values;   // [16, dim]
    float* scores;           // [rows, 32]
    float* sums;             // [rows, dim]: weighted values so far
    float* highest;          // [rows]
    float* totals;           // [rows]
    std::size_t bytes;
  };

  static Room lay_out(std::byte* scratch, const KvLayer& layer, std::int64_t rows) {
    Room room{};
    std::size_t used = 0;
    const auto take = [&](std::int64_t words) {
      std::byte* begin = scratch == nullptr ? nullptr : scratch + used;
      used += static_cast<std::size_t>((words + kLanes - 1) / kLanes * kLanes) * sizeof(float);
      return begin;
    };
    room.dim = (layer.head_dim + kLanes - 1) / kLanes * kLanes;
    room.queries = reinterpret_cast<std::uint32_t*>(take(rows * layer.head_dim / 2));
    room.weights = reinterpret_cast<std::uint32_t*>(take(rows * kBlockPairs));
    room.keys = reinterpret_cast<std::uint32_t*>(take(layer.head_dim / 2 * kKeyBlock));
    room.values = reinterpret_cast<std::uint32_t*>(take(kBlockPairs * room.dim));
    room.scores = reinterpret_cast<float*>(take(rows * kKeyBlock));
    room.sums = reinterpret_cast<float*>(take(rows * room.dim));
    room.highest = reinterpret_cast<float*>(take(rows));
    room.totals = reinterpret_cast<float*>(take(rows));
    room.bytes = used;
    return room;
  }

  static std::int64_t position_of(const AttendCall& call, std::int64_t row) {
    return call.span->position_begin + call.query_begin + row / call.group;
  }
  static std::int64_t first_key(const AttendCall& call, std::int64_t position) {
    return call.params.window > 0 ? greatest(0, position - call.params.window + 1) : 0;
  }
  static std::int64_t batch_row(const AttendCall& call, std::int64_t row) {
    return call.span->row_begin + call.query_begin + row / call.group;
  }
  static std::int64_t column(const AttendCall& call, std::int64_t row) {
    return (static_cast<std::int64_t>(call.kv_head) * call.group + row % call.group) * call.layer->head_dim;
  }

  static void start_rows(const AttendCall& call, const Room& room, std::int64_t rows) {
    const std::int64_t pairs = call.layer->head_dim / 2;
    for (std::int64_t begin = 0; begin < rows; begin += Isa::kTileRows) {
      const std::int64_t height = least(Isa::kTileRows, rows - begin);
      for (std::int64_t r = 0; r < height; ++r) {
        const float* q = call.q.row<const float>(batch_row(call, begin + r)) + column(call, begin + r);
        std::uint32_t* words = room.queries + begin * pairs + r;
        for (std::int64_t i = 0; i < pairs; ++i) words[i * height] = word_of(q[2 * i], q[2 * i + 1]);
      }
    }
    __builtin_memset(room.sums, 0, static_cast<std::size_t>(rows * room.dim) * sizeof(float));
    for (std::int64_t row = 0; row < rows; ++row) {
      room.highest[row] = -__builtin_inff();
      room.totals[row] = 0;
    }
  }

  // Rows [row, row + rows) of one tile over one block of keys.
  static void attend_block(const AttendCall& call, const Room& room, std::int64_t row, std::int64_t rows, const KvBlock& block) {
    const std::int64_t pairs = call.layer->head_dim / 2;
    const auto height = static_cast<int>(rows);
    tile_strip<Isa, TileStart::zero>(height,
                                     {.out = room.scores + row * kKeyBlock,
                                      .out_stride = kKeyBlock,
                                      .x = room.queries + row * pairs,
                                      .x_stride = rows,
                                      .w = block.keys,
                                      .pair_stride = block.key_stride,
                                      .pairs = pairs,
                                      .ahead = reinterpret_cast<const std::byte*>(room.scores)},
                                     kKeyBlock);
    bool all_full = true;
    for (std::int64_t r = row; r < row + rows; ++r) {
      const Range keys = visible_keys(call, r, block.position);
      all_full &= keys.begin == 0 && keys.end == kKeyBlock;
      if (keys.begin < keys.end) weigh_row(call, room, r, keys, room.weights + row * kBlockPairs + (r - row), rows);
    }
    TileArgs args{.out = room.sums + row * room.dim,
                  .out_stride = room.dim,
                  .x = room.weights + row * kBlockPairs,
                  .x_stride = rows,
                  .w = block.values,
                  .pair_stride = block.value_stride,
                  .pairs = kBlockPairs,
                  .ahead = reinterpret_cast<const std::byte*>(room.scores)};
    if (all_full) return tile_strip<Isa, TileStart::out>(height, args, room.dim);
    for (std::int64_t r = row; r < row + rows; ++r, ++args.x, args.out += room.dim) {
      const Range keys = visible_keys(call, r, block.position);
      if (keys.begin < keys.end) add_visible(args, room.dim, keys);
    }
  }

  struct Range {
    std::int64_t begin, end;  // keys of a block
  };

  static Range visible_keys(const AttendCall& call, std::int64_t row, std::int64_t block_position) {
    const std::int64_t position = position_of(call, row);
    return {greatest(first_key(call, position) - block_position, 0), least(position + 1 - block_position, kKeyBlock)};
  }

  // Scores of one row to bf16 weights relative to the highest score so far; what was summed before is scaled to that.
  static void weigh_row(const AttendCall& call, const Room& room, std::int64_t row, Range keys, std::uint32_t* weights,
                        std::int64_t stride) {
    const Floats lowest = broadcast(-__builtin_inff());
    const Floats scale = broadcast(call.params.scale * kLog2E);
    const float* scores = room.scores + row * kKeyBlock;
    Floats low = load(scores) * scale;
    Floats high = load(scores + kLanes) * scale;
    if (keys.begin != 0 || keys.end != kKeyBlock) {
      const Ints index = lane_indices();
      const auto begin = static_cast<std::int32_t>(keys.begin);
      const auto end = static_cast<std::int32_t>(keys.end);
      low = ((index >= begin) & (index < end)) ? low : lowest;
      high = ((index + kLanes >= begin) & (index + kLanes < end)) ? high : lowest;
    }
    const float before = room.highest[row];
    const float highest = Isa::maximum(larger(larger(low, high), broadcast(before)));
    low = exp2<Isa>(low - highest);
    high = exp2<Isa>(high - highest);
    alignas(64) Bfloat16 rounded[kKeyBlock];
    Isa::store_bfloat16(rounded, low);
    Isa::store_bfloat16(rounded + kLanes, high);
    for (std::int64_t i = 0; i < kBlockPairs; ++i) __builtin_memcpy(weights + i * stride, rounded + 2 * i, sizeof(std::uint32_t));
    const Words words = load_words(rounded);  // the sum is of what will be multiplied, so the weights add up to 1
    const float total = Isa::sum(as_floats(words << 16) + as_floats(words & 0xffff0000u));
    if (highest == before) {
      room.totals[row] += total;
      return;
    }
    const float factor = exp2<Isa>(broadcast(before - highest))[0];
    room.highest[row] = highest;
    room.totals[row] = room.totals[row] * factor + total;
    float* sums = room.sums + row * room.dim;
    for (std::int64_t d = 0; d < room.dim; d += kLanes) store(sums + d, load(sums + d) * factor);
  }

  // One row's visible keys: pairs of which only one key is visible have the other masked out of the values.
  static void add_visible(const TileArgs& args, std::int64_t dim, Range keys) {
    const std::int64_t first = keys.begin / 2;
    const std::int64_t last = (keys.end - 1) / 2;
    const std::uint32_t first_mask = keys.begin % 2 != 0 ? 0xffff0000u : 0xffffffffu;
    const std::uint32_t last_mask = keys.end % 2 != 0 ? 0x0000ffffu : 0xffffffffu;
    if (first == last) return add_pair(args, dim, first, first_mask & last_mask);
    add_pair(args, dim, first, first_mask);
    TileArgs middle = args;
    middle.x += (first + 1) * args.x_stride;
    middle.w += (first + 1) * args.pair_stride;
    middle.pairs = last - first - 1;
    tile_strip<Isa, TileStart::out>(1, middle, dim);
    add_pair(args, dim, last, last_mask);
  }

  static void add_pair(const TileArgs& args, std::int64_t dim, std::int64_t pair, std::uint32_t mask) {
    const Words weight = broadcast_word(args.x[pair * args.x_stride] & mask);
    for (std::int64_t d = 0; d < dim; d += kLanes) {
      const Words values = load_words(args.w + pair * args.pair_stride + d) & mask;
      store(args.out + d, Isa::dot(load(args.out + d), values, weight));
    }
  }

  static void finish_rows(const AttendCall& call, const Room& room, std::int64_t rows) {
    const std::int64_t dim = call.layer->head_dim;
    for (std::int64_t row = 0; row < rows; ++row) {
      Bfloat16* out = call.out.row<Bfloat16>(batch_row(call, row)) + column(call, row);
      const float* sums = room.sums + row * room.dim;
      for (std::int64_t d = 0; d < dim; d += kLanes) {
        alignas(32) Bfloat16 rounded[kLanes];
        Isa::store_bfloat16(rounded, load(sums + d) / room.totals[row]);
        __builtin_memcpy(out + d, rounded, static_cast<std::size_t>(least(kLanes, dim - d)) * sizeof(Bfloat16));
      }
    }
  }
};

}  // namespace slora::cpu
