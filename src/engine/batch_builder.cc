#include "engine/batch_builder.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace slora {

const ForwardBatch& BatchBuilder::build(const StepPlan& plan, const ViewOf& view_of) {
  order_.resize(plan.spans.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  // By adapter, then by place in the plan: base-only rows come first and are in no segment.
  std::ranges::sort(order_, {}, [&](std::size_t i) { return std::pair(plan.spans[i].adapter, i); });

  tokens_.clear();
  positions_.clear();
  spans_.clear();
  segments_.clear();
  output_rows_.assign(static_cast<std::size_t>(plan.output_row_count), -1);
  batch_.adapters.z_cols = 0;

  for (std::size_t first = 0; first < order_.size();) {
    const AdapterId adapter = plan.spans[order_[first]].adapter;
    const auto row_begin = static_cast<std::int32_t>(tokens_.size());
    std::size_t next = first;
    for (; next < order_.size() && plan.spans[order_[next]].adapter == adapter; ++next) add_span(plan, plan.spans[order_[next]]);
    if (adapter != kNoAdapter) {
      const AdapterView* view = view_of(adapter);
      check(view != nullptr, "a resident image for every adapter that a plan names");
      add_segment(*view, row_begin, static_cast<std::int32_t>(tokens_.size()) - row_begin);
    }
    first = next;
  }
  check(std::ranges::find(output_rows_, -1) == output_rows_.end(), "every output row belongs to a span");

  batch_.tokens = tokens_;
  batch_.positions = positions_;
  batch_.spans = spans_;
  batch_.adapters.segments = segments_;
  batch_.output_rows = output_rows_;
  return batch_;
}

void BatchBuilder::add_span(const StepPlan& plan, const PlannedSpan& span) {
  const auto row_begin = static_cast<std::int32_t>(tokens_.size());
  std::int32_t position = span.position_begin;
  for (const InputToken& token : plan.tokens_of(span)) {
    check(token.value >= 0, "input tokens that are known when the batch is built");
    tokens_.push_back(token.value);
    positions_.push_back(position++);
  }
  spans_.push_back({row_begin, span.token_count, span.position_begin, plan.pages_of(span)});
  if (span.output_row >= 0) output_rows_[static_cast<std::size_t>(span.output_row)] = row_begin + span.token_count - 1;
}

// Segments do not overlap here, so each may use the z columns from 0 on.
void BatchBuilder::add_segment(const AdapterView& view, std::int32_t row_begin, std::int32_t row_count) {
  segments_.push_back({row_begin, row_count, 0, 1.0f, &view});
  batch_.adapters.z_cols = std::max(batch_.adapters.z_cols, view.z_cols_max);
}

}  // namespace slora
