#include "engine/batch_builder.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace slora {
namespace {

// Appends the rows' segments: one, or one for each component of a blend, with z columns of its own. Returns the z columns they need.
std::int32_t add_segments(std::vector<AdapterSegment>& segments, std::int32_t row_begin, std::int32_t row_count, const AdapterView& view) {
  if (view.components.empty()) segments.push_back({row_begin, row_count, 0, 1.0f, &view});
  std::int32_t z_begin = 0;
  for (const AdapterView::Component& component : view.components) {
    segments.push_back({row_begin, row_count, z_begin, component.weight, component.view.get()});
    z_begin += component.view->shard_z_cols_max;
  }
  return view.z_cols_max;
}

bool changes_head(const AdapterView& view) {
  if (view.components.empty()) return !view.at(kHeadSite).empty() || view.added_tokens > 0;
  return std::ranges::any_of(view.components, [](const AdapterView::Component& component) { return changes_head(*component.view); });
}

}  // namespace

const ForwardBatch& BatchBuilder::build(const StepPlan& plan, const ViewOf& view_of, std::size_t block_rows) {
  order_.resize(plan.spans.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  // Sorted by adapter, then by place in the plan. Rows of the base model come first and are in no segment.
  std::ranges::sort(order_, {}, [&](std::size_t i) { return std::pair(plan.spans[i].adapter, i); });

  tokens_.clear();
  rope_rows_.clear();
  spans_.clear();
  segments_.clear();
  row_begins_.assign(plan.spans.size(), 0);
  head_views_.assign(plan.spans.size(), nullptr);
  batch_.adapters.z_cols = 0;

  for (std::size_t first = 0; first < order_.size();) {
    const AdapterId adapter = plan.spans[order_[first]].adapter;
    const AdapterView* const view = adapter == kNoAdapter ? nullptr : view_of(adapter);
    check(view != nullptr || adapter == kNoAdapter, "expected a resident image for every adapter of the plan");
    const AdapterView* const head_view = view != nullptr && changes_head(*view) ? view : nullptr;
    std::int32_t row_begin = static_cast<std::int32_t>(tokens_.size());  // of the segments that are not written yet
    for (; first < order_.size() && plan.spans[order_[first]].adapter == adapter; ++first) {
      const PlannedSpan& span = plan.spans[order_[first]];
      row_begins_[order_[first]] = static_cast<std::int32_t>(tokens_.size());
      head_views_[order_[first]] = head_view;
      const std::int32_t base_count = std::clamp(span.adapter_begin - span.position_begin, 0, span.token_count);
      if (base_count > 0) {
        add_rows_of(view, row_begin);
        row_begin = static_cast<std::int32_t>(tokens_.size()) + base_count;
      }
      add_span(plan, span, view != nullptr ? view->rope_begin : 0);
    }
    add_rows_of(view, row_begin);
  }
  add_output_rows(plan);
  cut_blocks(block_rows);

  runs_.cut(segments_);
  batch_.spans.pages = plan.pages;
  set_views();
  return batch_;
}

void BatchBuilder::set_views() {
  batch_.tokens = tokens_;
  batch_.rope_rows = rope_rows_;
  batch_.spans.spans = spans_;
  batch_.adapters.segments = segments_;
  batch_.adapters.runs = runs_.runs();
  batch_.adapters.run_segments = runs_.segments();
}

// What is added has no rows in any span or segment: nothing of it is stored, and no row that counts depends on it.
bool BatchBuilder::try_pad(const ModelLimits& limits) {
  const std::size_t rows = tokens_.size(), count = padded_rows(rows);
  const bool is_one_each = spans_.size() == rows && drawn_count_ == rows && output_rows_.size() == rows && blocks_.size() == 1;
  const auto rows_max = static_cast<std::size_t>(std::min(limits.step_tokens_max, limits.output_rows_max));
  if (!is_one_each || count > rows_max || segments_.size() > count || output_segments_.size() > count) return false;
  const auto row_end = static_cast<std::int32_t>(rows);
  tokens_.resize(count, 0);
  rope_rows_.resize(count, 0);
  spans_.resize(count, {row_end, 0, 0, 0, 0});
  output_rows_.resize(count, 0);
  if (!segments_.empty()) {
    pad_segments(segments_, count, row_end);
    runs_.pad(count);
    batch_.adapters.z_cols = limits.z_cols_max;
  }
  set_views();
  OutputBlock& block = blocks_.front();
  block.rows = output_rows_;
  if (output_segments_.empty()) return true;
  pad_segments(output_segments_, count, row_end);
  output_runs_.resize(count);
  output_run_segments_.resize(count, 0);
  block.adapters.segments = output_segments_;
  block.adapters.z_cols = limits.z_cols_max;
  block.adapters.runs = output_runs_;
  block.adapters.run_segments = output_run_segments_;
  return true;
}

void BatchBuilder::pad_segments(std::vector<AdapterSegment>& segments, std::size_t count, std::int32_t row_end) {
  segments.resize(count, {row_end, 0, 0, 1.0f, segments.front().adapter});
}

// The rows from `row_begin` on are the adapter's. The segments of different adapters do not overlap, so all may use the z columns from 0
// on.
void BatchBuilder::add_rows_of(const AdapterView* view, std::int32_t row_begin) {
  const std::int32_t row_count = static_cast<std::int32_t>(tokens_.size()) - row_begin;
  if (view == nullptr || row_count <= 0) return;
  batch_.adapters.z_cols = std::max(batch_.adapters.z_cols, add_segments(segments_, row_begin, row_count, *view));
}

void BatchBuilder::add_span(const StepPlan& plan, const PlannedSpan& span, std::int32_t rope_begin) {
  const auto row_begin = static_cast<std::int32_t>(tokens_.size());
  std::int32_t rope_row = rope_begin + span.position_begin;
  for (const InputToken& token : plan.tokens_of(span)) {
    check(token.value >= 0 || token.previous_row >= 0, "expected a token, or a row of the previous step that draws it");
    tokens_.push_back(token.value >= 0 ? token.value : -1 - token.previous_row);
    rope_rows_.push_back(rope_row++);
  }
  spans_.push_back({row_begin, span.token_count, span.position_begin, span.page_begin, span.page_count});
}

void BatchBuilder::add_output_rows(const StepPlan& plan) {
  drawn_count_ = static_cast<std::size_t>(plan.output_row_count);
  output_rows_.assign(drawn_count_, -1);
  output_views_.assign(static_cast<std::size_t>(plan.output_row_count), nullptr);
  for (std::size_t i = 0; i < plan.spans.size(); ++i) {
    const PlannedSpan& span = plan.spans[i];
    if (span.output_row < 0) continue;
    output_rows_[static_cast<std::size_t>(span.output_row)] = row_begins_[i] + span.token_count - 1;
    const bool is_base = span.position_begin + span.token_count <= span.adapter_begin;
    output_views_[static_cast<std::size_t>(span.output_row)] = is_base ? nullptr : head_views_[i];
  }
  check(std::ranges::find(output_rows_, -1) == output_rows_.end(), "expected every output row to belong to a span");
  for (std::size_t i = 0; i < plan.spans.size(); ++i) {
    const PlannedSpan& span = plan.spans[i];
    for (std::int32_t k = 0; k < span.scored_count; ++k) {
      output_rows_.push_back(row_begins_[i] + span.scored_begin - span.position_begin + k);
      output_views_.push_back(span.scored_begin + k < span.adapter_begin ? nullptr : head_views_[i]);
    }
  }
}

void BatchBuilder::cut_blocks(std::size_t block_rows) {
  block_parts_.clear();
  output_segments_.clear();
  output_runs_.clear();
  output_run_segments_.clear();
  for (std::size_t begin = 0; begin < output_rows_.size(); begin += block_rows) {
    add_block(begin, std::min(begin + block_rows, output_rows_.size()));
  }
  block_parts_.push_back({output_rows_.size(), output_segments_.size(), output_runs_.size(), output_run_segments_.size(), 0, 0});
  blocks_.clear();
  for (std::size_t i = 0; i + 1 < block_parts_.size(); ++i) {  // when the lists move no more
    const BlockParts &first = block_parts_[i], &next = block_parts_[i + 1];
    const auto part = [](const auto& list, std::size_t begin, std::size_t end) { return StepArray(list).from(begin, end - begin); };
    OutputBlock& block = blocks_.emplace_back();
    block.rows = part(output_rows_, first.row_begin, next.row_begin);
    block.adapters.segments = part(output_segments_, first.segment_begin, next.segment_begin);
    block.adapters.z_cols = first.z_cols;
    block.adapters.runs = part(output_runs_, first.run_begin, next.run_begin);
    block.adapters.run_segments = part(output_run_segments_, first.run_segment_begin, next.run_segment_begin);
    block.added_tokens = first.added_tokens;
  }
}

void BatchBuilder::add_block(std::size_t begin, std::size_t end) {
  BlockParts& parts =
      block_parts_.emplace_back(BlockParts{begin, output_segments_.size(), output_runs_.size(), output_run_segments_.size(), 0, 0});
  for (std::size_t first = begin, last = begin; first < end; first = last) {
    const AdapterView* const view = output_views_[first];
    for (last = first + 1; last < end && output_views_[last] == view;) ++last;
    if (view == nullptr) continue;
    parts.added_tokens = std::max(parts.added_tokens, view->added_tokens);
    const std::int32_t z_cols =
        add_segments(output_segments_, static_cast<std::int32_t>(first - begin), static_cast<std::int32_t>(last - first), *view);
    parts.z_cols = std::max(parts.z_cols, z_cols);
  }
  block_runs_.cut(std::span<const AdapterSegment>(output_segments_).subspan(parts.segment_begin));
  output_runs_.insert(output_runs_.end(), block_runs_.runs().begin(), block_runs_.runs().end());
  output_run_segments_.insert(output_run_segments_.end(), block_runs_.segments().begin(), block_runs_.segments().end());
}

}  // namespace slora
