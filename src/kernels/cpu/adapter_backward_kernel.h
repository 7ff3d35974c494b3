#pragma once
#include "kernels/cpu/float_tile.h"
#include "kernels/cpu/train_kernels.h"

namespace slora::cpu {

// The derivatives of y[slice] += scale * B z, z = A x, as products in fp32.
template <class Isa>
class AdapterBackwardKernel {
 public:
  // d_z = scale * dy B, and dx += d_z A.
  static void rows(const AdapterBackwardCall& call, std::int64_t begin, std::int64_t end, float* scratch) {
    const TrainedModule& module = *call.rows->module;
    const std::int64_t out = module.b.rows, rank = module.a.rows, tile_count = (end - begin + Isa::kTileRows - 1) / Isa::kTileRows;
    for (std::int64_t i = 0; i < tile_count; ++i) {
      const std::int64_t row = begin + (end - begin) * i / tile_count, height = begin + (end - begin) * (i + 1) / tile_count - row;
      float* d_z = call.d_z.row<float>(row) + module.z_begin;
      transpose_floats<Isa>(scratch, height, call.dy.row<float>(row) + module.slice_begin, call.dy.row_stride, height, out, module.scale);
      multiply_floats<Isa, TileStart::zero>(height, rank,
                                            {.out = d_z,
                                             .out_stride = call.d_z.row_stride,
                                             .x = scratch,
                                             .x_stride = height,
                                             .w = call.b.row<float>(0),
                                             .w_stride = call.b.row_stride,
                                             .count = out});
      if (call.dx.rows == 0) continue;
      transpose_floats<Isa>(scratch, height, d_z, call.d_z.row_stride, height, rank, 1.0f);
      multiply_floats<Isa, TileStart::out>(height, call.dx.cols,
                                           {.out = call.dx.row<float>(row),
                                            .out_stride = call.dx.row_stride,
                                            .x = scratch,
                                            .x_stride = height,
                                            .w = call.a.row<float>(0),
                                            .w_stride = call.a.row_stride,
                                            .count = rank});
    }
  }

  // [rank, columns] += d_z^T x
  static void a_gradient(const AdapterBackwardCall& call, std::int64_t begin, std::int64_t end, float* scratch) {
    const TrainedModule& module = *call.rows->module;
    const std::int64_t rank = module.a.rows, rows = call.rows->row_count;
    float* const sums = scratch + kGradientCols * kGradientRows;  // [rank, kGradientCols]
    for (std::int64_t done = 0; done < rows; done += kGradientRows) {
      const std::int64_t row = call.rows->row_begin + done, count = least(kGradientRows, rows - done);
      for (std::int64_t t = 0; t < count; ++t)
        widen_row(scratch + t * kGradientCols, call.x.row<const Bfloat16>(row + t) + begin, end - begin);
      const FloatProduct product{.out = sums,
                                 .out_stride = kGradientCols,
                                 .x = call.d_z.row<float>(row) + module.z_begin,
                                 .x_stride = call.d_z.row_stride,
                                 .w = scratch,
                                 .w_stride = kGradientCols,
                                 .count = count};
      multiply(rank, whole_lanes(end - begin), product, done);
    }
    if (rows == 0) return;
    for (std::int64_t j = 0; j < rank; ++j) add_values(module.a_gradient.row<float>(j) + begin, sums + j * kGradientCols, end - begin);
  }

  // [outputs, rank] += scale * dy^T z
  static void b_gradient(const AdapterBackwardCall& call, std::int64_t begin, std::int64_t end, float* scratch) {
    const TrainedModule& module = *call.rows->module;
    const std::int64_t rank = module.a.rows, rows = call.rows->row_count, width = whole_lanes(rank);
    for (std::int64_t done = 0; done < rows; done += kGradientRows) {
      const FloatProduct product{.out = scratch,
                                 .out_stride = width,
                                 .x = call.dy.row<float>(call.rows->row_begin + done) + module.slice_begin + begin,
                                 .x_stride = call.dy.row_stride,
                                 .w = call.z.row<float>(done),
                                 .w_stride = call.z.row_stride,
                                 .count = least(kGradientRows, rows - done)};
      multiply(end - begin, width, product, done);
    }
    if (rows == 0) return;
    for (std::int64_t n = begin; n < end; ++n) {
      float* gradient = module.b_gradient.row<float>(n);
      for (std::int64_t j = 0; j < rank; ++j) gradient[j] += module.scale * scratch[(n - begin) * width + j];
    }
  }

 private:
  static std::int64_t whole_lanes(std::int64_t cols) { return (cols + kLanes - 1) / kLanes * kLanes; }

  static void multiply(std::int64_t rows, std::int64_t cols, const FloatProduct& product, std::int64_t done) {
    if (done == 0) return multiply_floats<Isa, TileStart::zero>(rows, cols, product);
    multiply_floats<Isa, TileStart::out>(rows, cols, product);
  }

  // out [count, rounded up to whole vectors]
  static void widen_row(float* out, const Bfloat16* from, std::int64_t count) {
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(out + i, widen(from + i));
    if (i == count) return;
    Bfloat16 last[kLanes] = {};
    __builtin_memcpy(last, from + i, static_cast<std::size_t>(count - i) * sizeof(Bfloat16));
    store(out + i, widen(last));
  }
};

}  // namespace slora::cpu
