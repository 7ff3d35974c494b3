#pragma once
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/kv_words.h"
#include "kernels/cpu/tile.h"

namespace slora::cpu {

// Attention of a few queries under one kv head, block by block of 32 keys that begin at multiples of 32, with running maximum and
// sum. Rows are (query, head of the group). Scores lie with rows along the lanes, so that softmax needs no sum across lanes and its
// weights come out as the next product reads them. Keys that a row does not see are left out by position, never by value: pages may
// hold anything there. So the bits of a row depend on its query, its position and the keys up to it, and on nothing else.
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
      for (std::int64_t row = 0; row < rows; row += kRowBlock) {
        const std::int64_t height = least(kRowBlock, rows - row);
        if (height <= kLanes) {
          attend_block<1>(call, room, row, height, block);
        } else {
          attend_block<2>(call, room, row, height, block);
        }
      }
    }
    finish_rows(call, room, rows);
  }

 private:
  static constexpr std::int64_t kRowBlock = 2 * kLanes;
  static constexpr std::int64_t kBlockPairs = kKeyBlock / 2;

  // Scratch; row blocks are padded to 32 rows, dim is head_dim in whole vectors.
  struct Room {
    std::int64_t dim;
    std::uint32_t* queries;  // per row block [head_dim / 2, lanes], lanes = 16 or 32
    std::uint32_t* weights;  // [16, lanes]: of each pair of keys
    std::uint32_t* keys;     // [head_dim / 2, 32], for blocks that several pages hold
    std::uint32_t* values;   // [16, dim]
    float* scores;           // [32 keys, lanes]
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
    const std::int64_t padded = (rows + kRowBlock - 1) / kRowBlock * kRowBlock;
    room.dim = (layer.head_dim + kLanes - 1) / kLanes * kLanes;
    room.queries = reinterpret_cast<std::uint32_t*>(take(padded * layer.head_dim / 2));
    room.weights = reinterpret_cast<std::uint32_t*>(take(kRowBlock * kBlockPairs));
    room.keys = reinterpret_cast<std::uint32_t*>(take(layer.head_dim / 2 * kKeyBlock));
    room.values = reinterpret_cast<std::uint32_t*>(take(kBlockPairs * room.dim));
    room.scores = reinterpret_cast<float*>(take(kKeyBlock * kRowBlock));
    room.sums = reinterpret_cast<float*>(take(rows * room.dim));
    room.highest = reinterpret_cast<float*>(take(padded));
    room.totals = reinterpret_cast<float*>(take(padded));
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
    for (std::int64_t begin = 0; begin < rows; begin += kRowBlock) {
      const std::int64_t height = least(kRowBlock, rows - begin);
      const std::int64_t lanes = height <= kLanes ? kLanes : kRowBlock;
      std::uint32_t* block = room.queries + begin * pairs;
      __builtin_memset(block, 0, static_cast<std::size_t>(lanes * pairs) * sizeof(std::uint32_t));
      for (std::int64_t r = 0; r < height; ++r) {
        const float* q = call.q.row<const float>(batch_row(call, begin + r)) + column(call, begin + r);
        for (std::int64_t i = 0; i < pairs; ++i) block[i * lanes + r] = word_of(q[2 * i], q[2 * i + 1]);
      }
    }
    __builtin_memset(room.sums, 0, static_cast<std::size_t>(rows * room.dim) * sizeof(float));
    for (std::int64_t row = 0; row < (rows + kRowBlock - 1) / kRowBlock * kRowBlock; ++row) {
      room.highest[row] = -__builtin_inff();
      room.totals[row] = 0;
    }
  }

  // Keys of a block that a row sees.
  struct Range {
    std::int64_t begin, end;
  };

  static Range visible_keys(const AttendCall& call, std::int64_t row, std::int64_t block_position) {
    const std::int64_t position = position_of(call, row);
    return {greatest(first_key(call, position) - block_position, 0), least(position + 1 - block_position, kKeyBlock)};
  }

  // Rows [row, row + rows) of one row block of kVectors x 16 lanes over one block of keys.
  template <int kVectors>
  static void attend_block(const AttendCall& call, const Room& room, std::int64_t row, std::int64_t rows, const KvBlock& block) {
    constexpr std::int64_t kWidth = kVectors * kLanes;
    score_keys<kVectors>(call, room, row, block);
    // Ranges grow with the row: what the first and the last see tells what all see.
    const Range first = visible_keys(call, row, block.position);
    const Range last = visible_keys(call, row + rows - 1, block.position);
    const Range common{last.begin, first.end};
    std::int32_t begins[kWidth];
    std::int32_t ends[kWidth];
    const bool all_full = common.begin == 0 && common.end == kKeyBlock;
    for (std::int64_t lane = 0; lane < kWidth && !all_full; ++lane) {
      const Range keys = visible_keys(call, least(row + lane, row + rows - 1), block.position);
      begins[lane] = static_cast<std::int32_t>(keys.begin);
      ends[lane] = static_cast<std::int32_t>(keys.end);
    }
    for (int v = 0; v < kVectors; ++v) {
      if (!all_full) mask_scores(room.scores + v * kLanes, kWidth, begins + v * kLanes, ends + v * kLanes);
      weigh(room, row + v * kLanes, rows - v * kLanes, room.scores + v * kLanes, room.weights + v * kLanes, kWidth,
            call.params.scale * kLog2E);
    }
    add_values(call, room, row, rows, block, common, kWidth);
  }

  // scores [32 keys, lanes] = K q
  template <int kVectors>
  static void score_keys(const AttendCall& call, const Room& room, std::int64_t row, const KvBlock& block) {
    constexpr std::int64_t kWidth = kVectors * kLanes;
    constexpr std::int64_t kTiles = (kKeyBlock + Isa::rows_max(kVectors) - 1) / Isa::rows_max(kVectors);
    const std::int64_t pairs = call.layer->head_dim / 2;
    for (std::int64_t tile = 0; tile < kTiles; ++tile) {
      const std::int64_t begin = kKeyBlock * tile / kTiles;
      const std::int64_t end = kKeyBlock * (tile + 1) / kTiles;
      tile_of_rows<Isa, kVectors, TileStart::zero>(static_cast<int>(end - begin),
                                                   {.out = room.scores + begin * kWidth,
                                                    .out_stride = kWidth,
                                                    .x = block.keys + begin,
                                                    .x_stride = block.key_stride,
                                                    .w = room.queries + row * pairs,
                                                    .pair_stride = kWidth,
                                                    .pairs = pairs,
                                                    .ahead = reinterpret_cast<const std::byte*>(room.scores)});
    }
  }

  static void mask_scores(float* scores, std::int64_t stride, const std::int32_t* begins, const std::int32_t* ends) {
    Ints begin;
    Ints end;
    __builtin_memcpy(&begin, begins, sizeof begin);
    __builtin_memcpy(&end, ends, sizeof end);
    for (std::int32_t key = 0; key < kKeyBlock; ++key) {
      float* at = scores + key * stride;
      store(at, ((key >= begin) & (key < end)) ? load(at) : broadcast(-__builtin_inff()));
    }
  }

  // Scores of up to 16 rows to bf16 weights relative to the highest score so far; what was summed before is scaled to that. A row
  // that sees no key of the block keeps what it has.
  static void weigh(const Room& room, std::int64_t row, std::int64_t rows, const float* scores, std::uint32_t* weights, std::int64_t stride,
                    float scale) {
    const Floats before = load(room.highest + row);
    Floats highest = load(scores);
    for (std::int64_t key = 1; key < kKeyBlock; ++key) highest = larger(highest, load(scores + key * stride));
    highest = larger(highest * scale, before);
    const Floats lowest = broadcast(-__builtin_inff());
    const Floats origin = highest == lowest ? Floats{} : highest;
    const Floats scales = broadcast(scale);
    Floats total = {};
    for (std::int64_t pair = 0; pair < kBlockPairs; ++pair) {
      const Words even = rounded_to_bfloat16(exp2<Isa>(Isa::multiply_add(load(scores + 2 * pair * stride), scales, -origin)));
      const Words odd = rounded_to_bfloat16(exp2<Isa>(Isa::multiply_add(load(scores + (2 * pair + 1) * stride), scales, -origin)));
      const Words word = even | (odd << 16);
      __builtin_memcpy(weights + pair * stride, &word, sizeof word);
      total += as_floats(even << 16);  // the sum is of what will be multiplied, so that the weights add up to 1
      total += as_floats(odd << 16);
    }
    const Floats factor = exp2<Isa>(before - origin);
    store(room.highest + row, highest);
    store(room.totals + row, load(room.totals + row) * factor + total);
    for (std::int64_t r = 0; r < least(rows, kLanes); ++r) {
      if (factor[r] == 1.0f) continue;
      float* sums = room.sums + (row + r) * room.dim;
      for (std::int64_t d = 0; d < room.dim; d += kLanes) store(sums + d, load(sums + d) * factor[r]);
    }
  }

  // sums += weights V: pairs of keys that only some rows see row by row, those between that all see in tiles. Each row takes its
  // pairs in order.
  static void add_values(const AttendCall& call, const Room& room, std::int64_t row, std::int64_t rows, const KvBlock& block, Range common,
                         std::int64_t width) {
    const std::int64_t common_begin = (common.begin + 1) / 2;
    const std::int64_t common_end = greatest(common.end / 2, common_begin);
    const bool is_common = common.begin < common.end && common_begin < common_end;
    TileArgs args{.out = room.sums + row * room.dim,
                  .out_stride = room.dim,
                  .x = room.weights,
                  .x_stride = width,
                  .w = block.values,
                  .pair_stride = block.value_stride,
                  .pairs = 0,
                  .ahead = reinterpret_cast<const std::byte*>(room.scores)};
    const auto add_outside = [&](bool before) {
      for (std::int64_t r = 0; r < rows; ++r) {
        const Range keys = visible_keys(call, row + r, block.position);
        if (keys.begin >= keys.end) continue;
        const std::int64_t end = is_common && before ? common_begin : (keys.end + 1) / 2;
        for (std::int64_t pair = is_common && !before ? common_end : keys.begin / 2; pair < end; ++pair) {
          add_pair(args, room.dim, r, pair, keys);
        }
      }
    };
    if (is_common && common_begin > 0) add_outside(true);
    if (is_common) {
      TileArgs inner = args;
      inner.x += common_begin * width;
      inner.w += common_begin * block.value_stride;
      inner.pairs = common_end - common_begin;
      for (std::int64_t r = 0; r < rows; r += Isa::kTileRows) {
        tile_strip<Isa, TileStart::out>(static_cast<int>(least(Isa::kTileRows, rows - r)), inner, room.dim);
        inner.out += Isa::kTileRows * room.dim;
        inner.x += Isa::kTileRows;
      }
    }
    if (!is_common || common_end < kBlockPairs) add_outside(false);
  }

  // One row and one pair; a key of it that the row does not see is masked out of the values.
  static void add_pair(const TileArgs& args, std::int64_t dim, std::int64_t row, std::int64_t pair, Range keys) {
    const std::uint32_t mask = (2 * pair < keys.begin ? 0u : 0x0000ffffu) | (2 * pair + 1 >= keys.end ? 0u : 0xffff0000u);
    const Words weight = broadcast_word(args.x[pair * args.x_stride + row] & mask);
    float* out = args.out + row * args.out_stride;
    for (std::int64_t d = 0; d < dim; d += kLanes) {
      const Words values = load_words(args.w + pair * args.pair_stride + d) & mask;
      store(out + d, Isa::dot(load(out + d), values, weight));
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
