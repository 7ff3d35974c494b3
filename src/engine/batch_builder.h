#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "backend/adapter_runs.h"
#include "engine/step_arrays.h"
#include "model/forward_batch.h"
#include "model/model.h"
#include "scheduler/step_plan.h"

namespace slora {

// Turns a plan into the tensors of one forward pass. Spans of one adapter become neighbours, so that its weights are read once for all of
// them. Owned by the engine's loop, used on its thread; its buffers are reused from step to step.
class BatchBuilder {
 public:
  // The resident view of an adapter; never null for an adapter that a plan names.
  using ViewOf = std::function<const AdapterView*(AdapterId)>;

  // Builds the batch, and blocks of at most `block_rows` of its rows that need logits: the plan's output rows, then the rows that score
  // prompts, in the plan's order. Both borrow from the builder and from `plan`; valid until the next build.
  const ForwardBatch& build(const StepPlan& plan, const ViewOf& view_of, std::size_t block_rows);

  // Pads a batch in which every row is a sequence's only one and gives a token, so that there are few sizes of them; rows are added that
  // change nothing. Returns false, and leaves the batch as it is, if it is another one or would exceed `limits`.
  [[nodiscard]] bool try_pad(const ModelLimits& limits);

  [[nodiscard]] ForwardBatch& batch() { return batch_; }
  [[nodiscard]] std::span<const OutputBlock> output_blocks() const { return blocks_; }
  // [plan.spans] Where each begins in the batch.
  [[nodiscard]] std::span<const std::int32_t> row_begins() const { return row_begins_; }
  // Calls visit(array, kind) for every StepArray of the batch and its blocks.
  template <class Visit>
  void visit_arrays(const Visit& visit) {
    visit(batch_.tokens, ArrayKind::shaped);
    visit(batch_.rope_rows, ArrayKind::shaped);
    visit(batch_.spans.spans, ArrayKind::shaped);
    visit_adapters(batch_.adapters, visit);
    for (OutputBlock& block : blocks_) {
      visit(block.rows, ArrayKind::shaped);
      visit_adapters(block.adapters, visit);
    }
    visit(batch_.spans.pages, ArrayKind::list);
  }

 private:
  template <class Visit>
  static void visit_adapters(AdapterBatch& adapters, const Visit& visit) {
    visit(adapters.segments, ArrayKind::shaped);
    visit(adapters.runs, ArrayKind::shaped);
    visit(adapters.run_segments, ArrayKind::shaped);
  }
  static void pad_segments(std::vector<AdapterSegment>& segments, std::size_t count, std::int32_t row_end);
  // The parts of a block in the lists of all blocks.
  struct BlockParts {
    std::size_t row_begin, segment_begin, run_begin, run_segment_begin;
    std::int32_t z_cols;
    std::int32_t added_tokens = 0;
  };

  void add_rows_of(const AdapterView* view, std::int32_t row_begin);
  void add_span(const StepPlan& plan, const PlannedSpan& span, std::int32_t rope_begin);
  void add_output_rows(const StepPlan& plan);
  void set_views();
  void cut_blocks(std::size_t block_rows);
  void add_block(std::size_t begin, std::size_t end);

  std::vector<std::size_t> order_;       // indices of plan.spans, grouped by adapter
  std::vector<TokenId> tokens_;          // [T]
  std::vector<std::int32_t> rope_rows_;  // [T]
  std::vector<SpanView> spans_;
  std::vector<AdapterSegment> segments_;
  AdapterRuns runs_;                              // of segments_
  std::vector<std::int32_t> row_begins_;          // [plan.spans] in the batch
  std::vector<const AdapterView*> head_views_;    // [plan.spans] null: the head is the base's
  std::vector<std::int32_t> output_rows_;         // [output rows]
  std::size_t drawn_count_ = 0;                   // of these, the first, that a token is drawn from
  std::vector<const AdapterView*> output_views_;  // [output rows]
  std::vector<BlockParts> block_parts_;           // [blocks + 1]
  std::vector<AdapterSegment> output_segments_;   // of all blocks, as the next two
  std::vector<AdapterRun> output_runs_;
  std::vector<std::int32_t> output_run_segments_;
  AdapterRuns block_runs_;  // of one block
  ForwardBatch batch_;
  std::vector<OutputBlock> blocks_;
};

}  // namespace slora
