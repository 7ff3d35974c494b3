#pragma once
#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "base/clock.h"
#include "engine/batch_builder.h"
#include "engine/model_shards.h"
#include "engine/output_rows.h"
#include "engine/step_blob.h"
#include "scheduler/step_plan.h"

namespace slora {

// The place of one step from its plan to its results: what the host wrote for it, what the device reads, and what it answers. While the
// step is under way nothing of it is written again. With plans two deep there are two, which take turns; each reads the tokens that the
// other's step drew. Owned by the engine's loop, used on its thread.
class StepSlot {
 public:
  // `model` outlives it.
  StepSlot(ModelShards& model, int index);

  StepPlan plan;
  BatchBuilder builder;
  OutputRows output_rows;
  Timestamp submitted{};

  // Uploads what builder and output_rows hold, calls the ops of the step, and asks for its results. `before`: the slot of the step before,
  // or null. `on_progress` is called now and then. Waits for masks as OutputRows says: where ops compute in the host's memory after they
  // have computed logits, else before anything is uploaded, while the device still computes the step before.
  void submit(ModelShards& model, MaskThreads& masks, const StepSlot* before, const std::function<void()>& on_progress);
  // Waits until the results are there, at most for `limit`; returns whether they are.
  [[nodiscard]] bool wait(ModelShards& model, std::chrono::milliseconds limit) { return model.backend().wait(fence_, limit); }
  // [output_rows.size()] One result for each row of the step that gives one: first the rows that drew a token, then those whose prompt was
  // scored, each in the plan's order. Requires: wait() returned true.
  [[nodiscard]] std::span<const TokenResult> results() const {
    return {reinterpret_cast<const TokenResult*>(host_results_.data()), output_rows.size()};
  }

 private:
  // Of a step that was padded to be replayed; nothing for another.
  [[nodiscard]] std::optional<StepKey> try_pad(ModelShards& model);
  // Completes the key.
  void upload(ModelShards& model, std::optional<StepKey>& key);
  // Calls visit(array, kind) for every array of the step.
  template <class Visit>
  void visit_arrays(const Visit& visit) {
    builder.visit_arrays(visit);
    output_rows.visit_arrays(visit);
  }
  void call_ops(ModelShards& model, MaskThreads& masks, const TokenResult* previous, const std::function<void()>& on_progress);
  [[nodiscard]] TokenResult* device_results() const { return reinterpret_cast<TokenResult*>(device_results_.data()); }

  const int index_;
  StepBlob blob_;
  std::vector<AdapterBatch> adapters_;  // of the batch, then of each block: what the backend is prepared for
  Buffer device_results_;               // [step_tokens_max] TokenResult
  Buffer host_results_;                 // the same
  Fence fence_;
};

}  // namespace slora
