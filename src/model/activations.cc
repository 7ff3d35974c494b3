#include "model/activations.h"

namespace slora {
namespace {

std::size_t aligned_bytes(DType dtype, std::int64_t rows, std::int64_t cols) {
  const std::size_t bytes = static_cast<std::size_t>(rows * cols) * bytes_of(dtype);
  return (bytes + 63) / 64 * 64;
}

}  // namespace

ActivationBuffers::ActivationBuffers(const ModelConfig& config, const ShardShape& shape, Backend& backend, std::int64_t rows_max,
                                     std::int64_t z_cols_max, std::int64_t output_rows_max) {
  const DType product = backend.product_dtype();
  const std::int64_t hidden = config.hidden_size, q = shape.q_width(), qkv = q + 2 * shape.kv_width(), inner = shape.mlp.count;
  struct View {
    Tensor* tensor;
    DType dtype;
    std::int64_t rows, cols;
  };
  const View views[] = {
      {&all_.x, DType::f32, rows_max, hidden},
      {&all_.residual, DType::f32, rows_max, hidden},
      {&all_.h, product, rows_max, hidden},
      {&all_.z, DType::f32, rows_max, z_cols_max},
      {&all_.qkv, DType::f32, rows_max, qkv},
      {&all_.attn, product, rows_max, q},
      {&all_.ff, product, rows_max, inner},
      {&output_hidden_, product, output_rows_max, hidden},
      {&logits_, DType::f32, output_rows_max, shape.shard_count * shape.vocabulary_stride()},
  };
  std::size_t bytes = 0;
  for (const View& view : views) bytes += aligned_bytes(view.dtype, view.rows, view.cols);
  memory_ = backend.allocate(bytes);
  std::byte* cursor = memory_.data();
  for (const View& view : views) {
    *view.tensor = {cursor, view.dtype, view.rows, view.cols, view.cols};
    cursor += aligned_bytes(view.dtype, view.rows, view.cols);
  }
}

Activations ActivationBuffers::views(std::int64_t rows, std::int64_t z_cols) const {
  Tensor z = all_.z;
  z.cols = z.row_stride = z_cols;
  return {all_.x.rows_from(0, rows),   all_.residual.rows_from(0, rows), all_.h.rows_from(0, rows), z.rows_from(0, rows),
          all_.qkv.rows_from(0, rows), all_.attn.rows_from(0, rows),     all_.ff.rows_from(0, rows)};
}

}  // namespace slora
