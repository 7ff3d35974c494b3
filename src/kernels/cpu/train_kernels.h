#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu/packed_weight.h"
#include "ops/kv_layer.h"
#include "ops/training.h"

namespace slora::cpu {

// Rows in fp32 as products of derivatives read them: in tiles of at most a tile's height, each [cols, rows of the tile].
struct FloatRows {
  const float* floats = nullptr;
  std::int64_t row_count = 0;
  std::int64_t cols = 0;
  std::int64_t tile_rows = 1;  // at most

  // A transposed row is stored in whole vectors, so each tile has space beyond its end.
  static constexpr std::int64_t kSpace = 16;
  [[nodiscard]] std::int64_t tile_count() const { return (row_count + tile_rows - 1) / tile_rows; }
  [[nodiscard]] std::int64_t row_begin(std::int64_t tile) const { return tile_count() == 0 ? 0 : row_count * tile / tile_count(); }
  [[nodiscard]] std::int64_t rows_of(std::int64_t tile) const { return row_begin(tile + 1) - row_begin(tile); }
  [[nodiscard]] std::int64_t offset(std::int64_t tile) const { return row_begin(tile) * cols + tile * kSpace; }
  [[nodiscard]] std::size_t count() const { return static_cast<std::size_t>(row_count * cols + tile_count() * kSpace); }
};

// Inputs of a weight that are computed together: a strip of W^T.
inline constexpr std::int64_t kStripCols = 32;
inline constexpr std::int64_t kStripsMax = 4;       // of a call
inline constexpr std::int64_t kStripOutputs = 256;  // of a block of a strip, so that kStripsMax of them stay in the second-level cache
inline constexpr std::int64_t kStripFloats = kStripOutputs * kStripCols;

// A module over rows of one sample, with what it is multiplied by in whole vectors: rows of A, B and z have zeros up to a multiple of 16.
struct AdapterBackwardCall {
  Tensor dx;   // [T, in], or without rows
  Tensor d_z;  // [T, z columns]
  Tensor dy;   // [T, out]
  Tensor x;    // [T, in] bf16
  Tensor a;    // [rank, in rounded up]
  Tensor b;    // [out of the slice, rank rounded up]
  Tensor z;    // [rows of the sample, rank rounded up], a copy
  const TrainedRows* rows = nullptr;
};
inline constexpr std::int64_t kTurnedRows = 16;     // of a tile of turned rows, at most
inline constexpr std::int64_t kGradientCols = 64;   // of A's or B's gradient [.., in or out] that are computed together
inline constexpr std::int64_t kGradientRows = 128;  // that are added to them while they are in cache

// One query head over one sample.
struct AttendBackwardCall {
  Tensor dq, dk, dv;  // [rows of the sample, head_dim] of this head
  Tensor q, k, v;     // the same of this head and of its kv head
  Tensor out, d_out;  // out in bf16
  AttendParams params{};
};

// The inner loops of derivatives. Constant.
struct TrainKernels {
  // out: in [rows, count], in_stride apart, as a tile of FloatRows, times `factor`.
  void (*pack_floats)(float* out, const float* in, std::int64_t in_stride, std::int64_t rows, std::int64_t count, float factor);
  // Columns of strips [begin, end) of dx = W^T dy. scratch [kStripsMax * kStripFloats]
  void (*linear_backward)(Tensor dx, const FloatRows& dy, const PackedWeight& weight, std::int64_t begin, std::int64_t end, float* scratch);
  // d_z and dx of rows [begin, end) of the batch, all of which are the call's. scratch
  // [kTurnedRows * (out of the slice + rank + 1)]
  void (*adapter_rows)(const AdapterBackwardCall& call, std::int64_t begin, std::int64_t end, float* scratch);
  // A's gradient in columns [begin, end), at most kGradientCols. scratch [kGradientCols * (kGradientRows + rank)]
  void (*adapter_a_gradient)(const AdapterBackwardCall& call, std::int64_t begin, std::int64_t end, float* scratch);
  // B's gradient in rows [begin, end), at most kGradientCols. scratch [kGradientCols * rank rounded up]
  void (*adapter_b_gradient)(const AdapterBackwardCall& call, std::int64_t begin, std::int64_t end, float* scratch);
  // scratch [attend_floats(rows, head_dim)]
  std::size_t (*attend_floats)(std::int64_t rows, std::int64_t head_dim);
  void (*attend_backward)(const AttendBackwardCall& call, float* scratch);
  // d_gate and d_up [count] of activation(gate) * up.
  void (*gated_silu_backward)(float* d_gate, float* d_up, const float* d_out, const float* gate, const float* up, std::int64_t count);
  void (*gated_gelu_tanh_backward)(float* d_gate, float* d_up, const float* d_out, const float* gate, const float* up, std::int64_t count);
  // One row, in groups of weight.size() columns: dx = the derivative of rms_norm, or dx += it.
  void (*rms_norm_backward)(float* dx, const float* dy, const float* x, std::int64_t cols, std::span<const float> weight, float eps);
  void (*add_rms_norm_backward)(float* dx, const float* dy, const float* x, std::int64_t cols, std::span<const float> weight, float eps);
};

}  // namespace slora::cpu
