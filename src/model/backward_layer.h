#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "backend/train_ops.h"
#include "model/decoder_layer.h"

namespace slora {

// What the forward pass of a layer leaves for its backward pass: the residuals that its norms read, and everything in `attention` and
// `mlp`, with z of their sites, but x, residual, h and ff.
struct KeptLayer {
  Activations attention;  // as forward_attention() had it; its residual is what the norm read
  Activations mlp;        // as forward_mlp() had it
};

// Memory of a backward pass over T rows: the loss's derivative by the residual after the layer, which becomes that by the residual before
// it, and scratch. fp32 but where it says otherwise.
struct LayerGradients {
  Tensor residual;               // [T, hidden]
  Tensor branch;                 // [T, hidden] scratch, as all that follow
  Tensor in;                     // [T, hidden]
  Tensor qkv;                    // [T, q + 2 kv]
  Tensor attn;                   // [T, q]
  Tensor gate_up;                // [T, 2 intermediate]
  Tensor ff;                     // [T, intermediate]
  Tensor z;                      // [T, z columns]
  Tensor h;                      // [T, hidden] product: what a norm gave
  Tensor ff_values;              // [T, intermediate] product
  Tensor zeros;                  // [T, hidden] activation, zeros
  StepArray<std::int32_t> rows;  // [T] 0, 1, ..., T - 1
};

// What is trained of a layer.
struct TrainedLayer {
  // Of a site, in the order of the batch's rows; valid until the next call.
  std::function<std::span<const TrainedRows>(SiteKind)> modules_at;
  // The first site with modules, in a layer below which there is none: the derivative by its inputs is not computed. None: there are
  // modules below, and the derivative by the residual before the layer is.
  std::optional<SiteKind> first_site{};
};

// The derivatives of a layer, by the values that its forward pass computed with: adds those of its modules to their gradients. Requires: a
// model in one piece without a mixture of experts and without caps, batches of whole samples.
void backward_layer(const LayerContext& context, const LayerWeights& weights, std::int32_t layer, const KeptLayer& kept,
                    const LayerGradients& gradients, const TrainedLayer& trained);

}  // namespace slora
