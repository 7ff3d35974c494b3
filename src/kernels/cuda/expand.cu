// y += weight * (scale * B z + bias) by tensor cores: one warp 16 rows x 32 outputs. Reads and writes y where adapters act, and nowhere
// else.
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

// What the records of a use add to a tile. Returns whether any acts on it.
__device__ inline bool add_use(ExpandTile& tile, const ExpandArgs& args, const ExpandItem& item, const ExpandUse& use,
                               std::int32_t out_begin) {
  bool has_record = false;
  const LoraRecord* const records = use.table.records + args.layer * use.table.per_layer;
  for (std::int32_t i = 0; i < use.table.per_layer; ++i) {
    if (!acts_on(records[i], out_begin)) continue;
    has_record = true;
    const LoraRecord record = records[i];
    if (record.is_b_wide != 0) {
      expand_tile<true>(tile, args, item, use, record, out_begin);
    } else {
      expand_tile<false>(tile, args, item, use, record, out_begin);
    }
  }
  return has_record;
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
    bool has_record = false;
    for (std::int32_t i = item.use_begin; i < item.use_begin + item.use_count; ++i) {
      has_record |= add_use(tile, args.op, item, list.uses[i], out_begin);
    }
    if (!has_record) continue;
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
