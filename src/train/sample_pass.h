#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "comm/communicator.h"
#include "model/rope.h"
#include "model/weights.h"
#include "train/micro_batch.h"
#include "train/pass_memory.h"
#include "train/trained_adapter.h"

namespace slora {

// A base model that adapters are trained on, as computing sees it. All outlive who borrows it.
struct PassModel {
  const ModelConfig& config;
  const ModelWeights& weights;
  Backend& backend;
};

// Computes micro-batches under an adapter: the loss of each label, and the derivatives by the adapter's numbers, which it adds to their
// gradients. Does one unit of work at a call, of a layer or of a block of logits, so that others can compute in between. The results of a
// sample have the same bits whatever the limits. One thread, that of the backend's ops.
class SamplePass {
 public:
  // All outlive it. Requires: a model that check_trainable() takes.
  SamplePass(const PassModel& model, TrainedAdapter& adapter, const KvGeometry& kv, const PassLimits& limits);

  enum class Kind : std::uint8_t { losses, gradients };
  // Requires: at most limits.rows rows of limits.samples samples, with labels; nothing is being computed. `label_weight`: of each loss in
  // the sum that is derived.
  void begin(std::span<const Sample* const> samples, float label_weight, Kind kind);
  // Does a unit of work; returns whether there is more.
  bool advance();
  // Of each label, sample after sample. Requires: everything is computed.
  [[nodiscard]] std::span<const LabelLoss> losses() const { return losses_; }
  [[nodiscard]] const PassLimits& limits() const { return memory_.limits(); }

 private:
  enum class Phase : std::uint8_t { idle, forward, head, backward };
  [[nodiscard]] LayerContext context();
  void forward(std::int32_t layer);
  void compute_layer(const LayerContext& context, std::int32_t layer, const KeptLayer& views);
  void end_layers();
  void compute_logits();
  void begin_backward();
  void backward(std::int32_t layer);
  void copy(Tensor to, Tensor from);

  const PassModel model_;
  TrainedAdapter& adapter_;
  SingleCommunicator communicator_;
  RopeTables rope_;
  std::optional<RopeTables> window_rope_;
  PassMemory memory_;
  MicroBatch batch_;
  std::vector<LabelLoss> losses_;
  Kind kind_ = Kind::losses;
  Phase phase_ = Phase::idle;
  std::int32_t layer_ = 0;         // the next one
  std::size_t label_ = 0;          // the first of the next block
  std::int32_t shared_layer_ = 0;  // whose values are in the memory that layers share
};

}  // namespace slora
