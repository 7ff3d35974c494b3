#include "model/activations.h"

#include <algorithm>
#include <array>

namespace slora {
namespace {

struct BufferShape {
  DType dtype;
  std::int64_t rows, cols;

  [[nodiscard]] std::int64_t row_stride() const { return aligned_row_stride(cols, dtype); }
  [[nodiscard]] std::size_t aligned_bytes() const {
    return (static_cast<std::size_t>(rows * row_stride()) * bytes_of(dtype) + 63) / 64 * 64;
  }
};

constexpr std::size_t kBufferCount = 15;

// Of x, residual, h, z, qkv, attn, ff, output_hidden, logits; and of router, expert_in, expert_out and what expert_rows points to.
std::array<BufferShape, kBufferCount> extents(const ModelConfig& config, const ShardShape& shape, const Backend& backend,
                                              const ActivationBuffers::Limits& limits) {
  const DType product = backend.product_dtype(), activation = backend.activation_dtype();
  const std::int64_t rows = limits.rows, hidden = config.hidden_size, q = shape.q_width();
  const std::int64_t logit_shards = shape.shard_index == 0 ? shape.shard_count : 1;  // only shard 0 has the logits of all
  const std::int64_t added_tokens = shape.shard_index == 0 && backend.adapter_format().has_other_sites ? kAddedTokensMax : 0;
  const MixtureConfig& mixture = config.mixture;
  const std::int64_t mlp_width = std::max<std::int64_t>({shape.mlp.count, mixture.expert_width, mixture.shared_width});
  const std::int64_t mixed_rows = mixture.expert_count > 0 ? rows : 0, shared = mixture.shared_width > 0 ? 1 : 0;
  const std::int64_t places = mixed_rows * (mixture.experts_per_token + shared);
  return {{{activation, rows, hidden},
           {DType::f32, rows, hidden},
           {product, rows, hidden},
           {DType::f32, rows, limits.z_cols},
           {activation, rows, q + 2 * shape.kv_width()},
           {product, rows, q},
           {product, rows, mlp_width},
           {product, limits.output_rows, hidden},
           {DType::f32, limits.output_rows, logit_shards * shape.vocabulary_stride() + added_tokens},
           {DType::f32, mixed_rows, mixture.expert_count + shared},
           {product, mixed_rows, hidden},
           {activation, mixed_rows, hidden},
           {DType::i32, 1, mixture.expert_count + 2},
           {DType::i32, 1, places},
           {DType::f32, 1, places}}};
}

}  // namespace

std::size_t ActivationBuffers::bytes_for(const ModelConfig& config, const ShardShape& shape, const Backend& backend, const Limits& limits) {
  std::size_t bytes = 0;
  for (const BufferShape& extent : extents(config, shape, backend, limits)) bytes += extent.aligned_bytes();
  return bytes;
}

ActivationBuffers::ActivationBuffers(const ModelConfig& config, const ShardShape& shape, Backend& backend, const Limits& limits)
    : memory_(backend.allocate(bytes_for(config, shape, backend, limits))) {
  const std::array<Tensor*, kBufferCount> tensors = {&all_.x,         &all_.residual,   &all_.h,         &all_.z,          &all_.qkv,
                                                     &all_.attn,      &all_.ff,         &output_hidden_, &logits_,         &all_.router,
                                                     &all_.expert_in, &all_.expert_out, &expert_begins_, &expert_row_ids_, &expert_shares_};
  std::byte* cursor = memory_.data();
  const std::array<BufferShape, kBufferCount> sizes = extents(config, shape, backend, limits);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    *tensors[i] = {cursor, sizes[i].dtype, sizes[i].rows, sizes[i].cols, sizes[i].row_stride()};
    cursor += sizes[i].aligned_bytes();
  }
  all_.expert_rows = {config.mixture.expert_count, expert_begins_.row<std::int32_t>(0), expert_row_ids_.row<std::int32_t>(0),
                      expert_shares_.row<float>(0)};
}

Activations ActivationBuffers::views(std::int64_t rows, std::int64_t z_cols) const {
  Tensor z = all_.z;
  z.cols = z_cols;
  z.row_stride = aligned_row_stride(z_cols, z.dtype);
  const auto first = [&](Tensor tensor) { return tensor.rows_from(0, std::min(rows, tensor.rows)); };
  return {first(all_.x),      first(all_.residual),  first(all_.h),          first(z),
          first(z),           first(all_.qkv),       first(all_.attn),       first(all_.ff),
          first(all_.router), first(all_.expert_in), first(all_.expert_out), all_.expert_rows};
}

}  // namespace slora
