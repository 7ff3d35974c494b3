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

__device__ inline bool acts_on(const ExpandRecord& record, std::int32_t out_begin) {
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

template <class Out, bool kWideRows, bool kWideOut>
__device__ void expand_items(const ExpandKernelArgs<Out>& args, const ExpandList& list) {
  const std::int32_t tiles = (args.outputs + ExpandTile::kOut - 1) / ExpandTile::kOut;
  const std::int32_t count = list.item_count * tiles;
  for (std::int32_t index = block_index() * kWarps + warp_index(); index < count; index += block_count() * kWarps) {
    const ExpandItem item = list.items[index / tiles];
    const std::int32_t out_begin = index % tiles * ExpandTile::kOut;
    ExpandTile tile;
    bool has_use = false;
    for (std::int32_t i = item.use_begin; i < item.use_begin + item.use_count; ++i) {
      const ExpandUse use = list.uses[i];
      if (!acts_on(list.records[use.record], out_begin)) continue;
      has_use = true;
      expand_tile<kWideRows>(tile, args.op, list, item, use, out_begin);
    }
    if (!has_use) continue;
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

// How matrices lie in memory changes from launch to launch of a graph.
template <class Out, bool kWideOut>
__global__ void __launch_bounds__(kThreads, 2) expand_kernel(ExpandKernelArgs<Out> args) {
  const ExpandList list = *args.op.list;
  if (list.alignment == MatrixAlignment::sixteen_bytes) {
    expand_items<Out, true, kWideOut>(args, list);
  } else {
    expand_items<Out, false, kWideOut>(args, list);
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
