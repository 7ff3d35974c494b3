#include "model/activations.h"

#include <array>

namespace slora {
namespace {

// Elements from a row to the next, so that each begins at a multiple of 16 bytes.
std::int64_t aligned_stride(std::int64_t cols, DType dtype) {
  const auto unit = static_cast<std::int64_t>(16 / bytes_of(dtype));
  return (cols + unit - 1) / unit * unit;
}

struct BufferShape {
  DType dtype;
  std::int64_t rows, cols;

  [[nodiscard]] std::int64_t row_stride() const { return aligned_stride(cols, dtype); }
  [[nodiscard]] std::size_t aligned_bytes() const {
    return (static_cast<std::size_t>(rows * row_stride()) * bytes_of(dtype) + 63) / 64 * 64;
  }
};

// Of x, residual, h, z, qkv, attn, ff, output_hidden, logits.
std::array<BufferShape, 9> extents(const ModelConfig& config, const ShardShape& shape, const Backend& backend,
                                   const ActivationBuffers::Limits& limits) {
  const DType product = backend.product_dtype(), activation = backend.activation_dtype();
  const std::int64_t rows = limits.rows, hidden = config.hidden_size, q = shape.q_width();
  const std::int64_t logit_shards = shape.shard_index == 0 ? shape.shard_count : 1;  // only shard 0 has the logits of all
  const std::int64_t added_tokens = shape.shard_index == 0 && backend.adapter_format().has_other_sites ? kAddedTokensMax : 0;
  return {{{activation, rows, hidden},
           {DType::f32, rows, hidden},
           {product, rows, hidden},
           {DType::f32, rows, limits.z_cols},
           {activation, rows, q + 2 * shape.kv_width()},
           {product, rows, q},
           {product, rows, shape.mlp.count},
           {product, limits.output_rows, hidden},
           {DType::f32, limits.output_rows, logit_shards * shape.vocabulary_stride() + added_tokens}}};
}

}  // namespace

std::size_t ActivationBuffers::bytes_for(const ModelConfig& config, const ShardShape& shape, const Backend& backend, const Limits& limits) {
  std::size_t bytes = 0;
  for (const BufferShape& extent : extents(config, shape, backend, limits)) bytes += extent.aligned_bytes();
  return bytes;
}

ActivationBuffers::ActivationBuffers(const ModelConfig& config, const ShardShape& shape, Backend& backend, const Limits& limits)
    : memory_(backend.allocate(bytes_for(config, shape, backend, limits))) {
  const std::array<Tensor*, 9> tensors = {&all_.x,    &all_.residual, &all_.h,         &all_.z, &all_.qkv,
                                          &all_.attn, &all_.ff,       &output_hidden_, &logits_};
  std::byte* cursor = memory_.data();
  const std::array<BufferShape, 9> sizes = extents(config, shape, backend, limits);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    *tensors[i] = {cursor, sizes[i].dtype, sizes[i].rows, sizes[i].cols, sizes[i].row_stride()};
    cursor += sizes[i].aligned_bytes();
  }
}

Activations ActivationBuffers::views(std::int64_t rows, std::int64_t z_cols) const {
  Tensor z = all_.z;
  z.cols = z_cols;
  z.row_stride = aligned_stride(z_cols, z.dtype);
  return {all_.x.rows_from(0, rows),   all_.residual.rows_from(0, rows), all_.h.rows_from(0, rows), z.rows_from(0, rows),
          all_.qkv.rows_from(0, rows), all_.attn.rows_from(0, rows),     all_.ff.rows_from(0, rows)};
}

}  // namespace slora
