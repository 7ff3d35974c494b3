#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "backend/adapter_runs.h"
#include "model/forward_batch.h"
#include "scheduler/step_plan.h"

namespace slora {

// Turns a plan into the tensors of one forward pass. Spans of one adapter become neighbours, so that its weights are read once for all of
// them. Owned by the engine's loop, used on its thread; its buffers are reused from step to step.
class BatchBuilder {
 public:
  // The resident view of an adapter; never null for an adapter that a plan names.
  using ViewOf = std::function<const AdapterView*(AdapterId)>;

  // The batch borrows from the builder and from `plan`; valid until the next build. Requires: the plan's tokens are values.
  [[nodiscard]] const ForwardBatch& build(const StepPlan& plan, const ViewOf& view_of);

  // How many rows of the batch need logits: the plan's output rows, then the rows that score prompts, in the plan's order.
  [[nodiscard]] std::size_t output_row_count() const { return output_rows_.size(); }
  // `count` of these rows, from `begin` on; valid until the next call.
  [[nodiscard]] const OutputBlock& output_block(std::size_t begin, std::size_t count);

 private:
  void add_rows_of(const AdapterView* view, std::int32_t row_begin);
  void add_span(const StepPlan& plan, const PlannedSpan& span);
  void add_output_rows(const StepPlan& plan);

  std::vector<std::size_t> order_;       // indices of plan.spans, grouped by adapter
  std::vector<TokenId> tokens_;          // [T]
  std::vector<std::int32_t> positions_;  // [T]
  std::vector<SpanView> spans_;
  std::vector<AdapterSegment> segments_;
  AdapterRuns runs_;                              // of segments_
  std::vector<std::int32_t> row_begins_;          // [plan.spans] in the batch
  std::vector<const AdapterView*> head_views_;    // [plan.spans] null: the head is the base's
  std::vector<std::int32_t> output_rows_;         // [output rows]
  std::vector<const AdapterView*> output_views_;  // [output rows]
  std::vector<AdapterSegment> output_segments_;   // of the latest block
  AdapterRuns output_runs_;                       // of output_segments_
  ForwardBatch batch_;
  OutputBlock block_;
};

}  // namespace slora
