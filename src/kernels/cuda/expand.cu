// y = gain * (y + weight * scale * delta_gain * B z) + bias by tensor cores: one warp 16 rows x 32 outputs. Reads and writes y where
// adapters act, and nowhere else. Gains and biases take turns over the records of their own, in tiles that have some: a tile of others
// costs no more than a test for each record.
#include "kernels/cuda/expand.h"

#include "kernels/cuda/expand_tile.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kWarps = kThreads / kWarpThreads;

template <class Out>
struct ExpandKernelArgs {
  Out* y;  // [T, outputs]
  std::int64_t y_stride;
  std::int32_t outputs;
  ExpandArgs op;
};

__device__ inline bool acts_on(const LoraRecord& record, std::int32_t out_begin) {
  return record.slice_begin < out_begin + ExpandTile::kOut && record.slice_begin + record.out > out_begin;
}

// Adds eight outputs to y, those that exist.
template <bool kWideOut, class Out>
__device__ void add_eight(Out* to, const float (&added)[kWide], std::int32_t count) {
  float values[kWide];
  if constexpr (kWideOut) {
    load(values, to);
    for (std::int32_t i = 0; i < kWide; ++i) values[i] += added[i];
    store(to, values);
  } else {
    for (std::int32_t i = 0; i < kWide && i < count; ++i) {
      float value[1];
      load(value, to + i);
      value[0] += added[i];
      store(to + i, value);
    }
  }
}

// Calls visit(use, record) for all records that act on the item's rows and on these outputs.
template <class Visit>
__device__ void for_each_record(const ExpandArgs& args, const ExpandList& list, const ExpandItem& item, std::int32_t out_begin,
                                const Visit& visit) {
  for (std::int32_t i = item.use_begin; i < item.use_begin + item.use_count; ++i) {
    const ExpandUse use = list.uses[i];
    const LoraRecord* const records = use.table.records + args.layer * use.table.per_layer;
    for (std::int32_t record = 0; record < use.table.per_layer; ++record) {
      if (acts_on(records[record], out_begin)) visit(use, records[record]);
    }
  }
}

// What there is in the records of a tile.
struct Found {
  bool record = false, gain = false, bias = false;
};

// tile += weight * scale * delta_gain * B z of all records.
__device__ inline Found add_deltas(ExpandTile& tile, const ExpandArgs& args, const ExpandList& list, const ExpandItem& item,
                                   std::int32_t out_begin) {
  Found found;
  for_each_record(args, list, item, out_begin, [&](const ExpandUse& use, const LoraRecord& at) {
    const LoraRecord record = at;
    const bool has_gain = record.gains != nullptr && record.gains->delta_gain != nullptr;
    ExpandTile before;
    if (has_gain) {
      before = tile;
      tile = {};
    }
    if (record.is_b_wide != 0) {
      expand_tile<true>(tile, args, item, use, record, out_begin);
    } else {
      expand_tile<false>(tile, args, item, use, record, out_begin);
    }
    if (has_gain) scale_delta(tile, before, record, out_begin);
    found.record = true;
    found.gain |= record.gains != nullptr && record.gains->gain != nullptr;
    found.bias |= record.bias != nullptr;
  });
  return found;
}

// Makes of a tile of deltas what is to be added to y = W x + base bias, so that it becomes gain * (W x + delta) + base bias. The product
// was rounded to the type of y with the bias in it: that error is multiplied by the gain, as if the row were the base's, and one more
// rounding follows. Where a bias is much larger than the product, so is the error, but no larger than that of rounding their sum.
template <class Out>
__device__ void multiply_outputs(ExpandTile& tile, const ExpandKernelArgs<Out>& args, const ExpandItem& item, const LoraRecord& record,
                                 std::int32_t out_begin) {
  for_each_output(record, out_begin, [&](std::int32_t i, std::int32_t out) {
    const std::int32_t column = record.slice_begin + out;
    const float gain = record.gains->gain[out], base_bias = args.op.base_bias == nullptr ? 0.0f : args.op.base_bias[column];
    for (std::int32_t half = 0; half < 2; ++half) {
      const std::int32_t row = lane_index() / 4 + 8 * half;
      if (row >= item.row_count) continue;
      float product[1];
      load(product, args.y + (item.row_begin + row) * args.y_stride + column);
      product[0] -= base_bias;
      tile.at(half, i) = gain * (product[0] + tile.at(half, i)) - product[0];
    }
  });
}

template <class Out, bool kWideOut>
__global__ void __launch_bounds__(kThreads, 2) expand_kernel(ExpandKernelArgs<Out> args) {
  const ExpandList list = *args.op.list;
  const std::int32_t tiles = (args.outputs + ExpandTile::kOut - 1) / ExpandTile::kOut;
  const std::int32_t count = list.item_count * tiles;
  for (std::int32_t index = block_index() * kWarps + warp_index(); index < count; index += block_count() * kWarps) {
    const ExpandItem item = list.items[index / tiles];
    const std::int32_t out_begin = index % tiles * ExpandTile::kOut;
    ExpandTile tile;
    const Found found = add_deltas(tile, args.op, list, item, out_begin);
    if (!found.record) continue;
    if (found.gain) {
      for_each_record(args.op, list, item, out_begin, [&](const ExpandUse&, const LoraRecord& record) {
        if (record.gains != nullptr && record.gains->gain != nullptr) multiply_outputs(tile, args, item, record, out_begin);
      });
    }
    if (found.bias) {
      for_each_record(args.op, list, item, out_begin, [&](const ExpandUse& use, const LoraRecord& record) {
        if (record.bias != nullptr) add_bias(tile, args.op, use, record, out_begin);
      });
    }
    const std::int32_t column = out_begin + lane_index() % 4 * 8;
    if (column >= args.outputs) continue;
    for (std::int32_t half = 0; half < 2; ++half) {
      const std::int32_t row = lane_index() / 4 + 8 * half;
      if (row >= item.row_count) continue;
      float added[kWide];
      for (std::int32_t i = 0; i < kWide; ++i) added[i] = tile.at(half, i);
      add_eight<kWideOut>(args.y + (item.row_begin + row) * args.y_stride + column, added, args.outputs - column);
    }
  }
}

template <class Out>
void launch_expand(Stream stream, const Tensor& y, const ExpandArgs& args, std::int32_t blocks) {
  const ExpandKernelArgs<Out> kernel_args{data_of<Out>(y), y.row_stride, static_cast<std::int32_t>(y.cols), args};
  launch(is_wide(y) ? expand_kernel<Out, true> : expand_kernel<Out, false>, {blocks, kThreads}, stream, kernel_args);
}

}  // namespace

void expand(Stream stream, Tensor y, const ExpandArgs& args, std::int32_t blocks) {
  if (y.dtype == DType::f32) {
    launch_expand<float>(stream, y, args, blocks);
  } else {
    launch_expand<Bfloat16>(stream, y, args, blocks);
  }
}

}  // namespace slora::cuda
