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
  output_views_.assign(static_cast<std::size_t>(plan.output_row_count), nullptr);
  batch_.adapters.z_cols = 0;

  for (std::size_t first = 0; first < order_.size();) {
    const AdapterId adapter = plan.spans[order_[first]].adapter;
    const AdapterView* const view = adapter == kNoAdapter ? nullptr : view_of(adapter);
    check(view != nullptr || adapter == kNoAdapter, "a resident image for every adapter that a plan names");
    const auto row_begin = static_cast<std::int32_t>(tokens_.size());
    for (; first < order_.size() && plan.spans[order_[first]].adapter == adapter; ++first) add_span(plan, plan.spans[order_[first]], view);
    if (view == nullptr) continue;
    // Segments do not overlap here, so each may use the z columns from 0 on.
    segments_.push_back({row_begin, static_cast<std::int32_t>(tokens_.size()) - row_begin, 0, 1.0f, view});
    batch_.adapters.z_cols = std::max(batch_.adapters.z_cols, view->z_cols_max);
  }
  check(std::ranges::find(output_rows_, -1) == output_rows_.end(), "every output row belongs to a span");
  add_output_segments();

  batch_.tokens = tokens_;
  batch_.positions = positions_;
  batch_.spans = spans_;
  batch_.adapters.segments = segments_;
  batch_.output_rows = output_rows_;
  batch_.output_adapters.segments = output_segments_;
  return batch_;
}

void BatchBuilder::add_span(const StepPlan& plan, const PlannedSpan& span, const AdapterView* view) {
  const auto row_begin = static_cast<std::int32_t>(tokens_.size());
  std::int32_t position = span.position_begin;
  for (const InputToken& token : plan.tokens_of(span)) {
    check(token.value >= 0, "input tokens that are known when the batch is built");
    tokens_.push_back(token.value);
    positions_.push_back(position++);
  }
  spans_.push_back({row_begin, span.token_count, span.position_begin, plan.pages_of(span)});
  if (span.output_row < 0) return;
  const auto output_row = static_cast<std::size_t>(span.output_row);
  output_rows_[output_row] = row_begin + span.token_count - 1;
  if (view != nullptr && !view->at(kHeadSite).empty()) output_views_[output_row] = view;
}

void BatchBuilder::add_output_segments() {
  output_segments_.clear();
  batch_.output_adapters.z_cols = 0;
  for (std::size_t row = 0; row < output_views_.size(); ++row) {
    const AdapterView* const view = output_views_[row];
    if (view == nullptr) continue;
    if (row > 0 && output_views_[row - 1] == view) {
      ++output_segments_.back().row_count;
    } else {
      output_segments_.push_back({static_cast<std::int32_t>(row), 1, 0, 1.0f, view});
    }
    batch_.output_adapters.z_cols = std::max(batch_.output_adapters.z_cols, view->z_cols_max);
  }
}

}  // namespace slora
