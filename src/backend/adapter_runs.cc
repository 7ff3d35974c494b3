#include "backend/adapter_runs.h"

#include <algorithm>

namespace slora {

void AdapterRuns::cut(std::span<const AdapterSegment> segments) {
  if (try_cut_in_order(segments)) return;
  runs_.clear();
  run_segments_.clear();
  cuts_.clear();
  for (const AdapterSegment& segment : segments) {
    cuts_.push_back(segment.row_begin);
    cuts_.push_back(segment.row_begin + segment.row_count);
  }
  std::ranges::sort(cuts_);
  cuts_.erase(std::unique(cuts_.begin(), cuts_.end()), cuts_.end());
  for (std::size_t i = 1; i < cuts_.size(); ++i) {
    AdapterRun run{cuts_[i - 1], cuts_[i] - cuts_[i - 1], static_cast<std::int32_t>(run_segments_.size()), 0};
    for (std::size_t s = 0; s < segments.size(); ++s) {
      const bool covers = segments[s].row_begin <= run.row_begin && segments[s].row_begin + segments[s].row_count > run.row_begin;
      if (covers) run_segments_.push_back(static_cast<std::int32_t>(s));
    }
    run.segment_count = static_cast<std::int32_t>(run_segments_.size()) - run.segment_begin;
    if (run.segment_count > 0) runs_.push_back(run);
  }
}

// As the engine makes them: segments over the same rows one after the other, and no others that overlap. Returns false for any other list.
bool AdapterRuns::try_cut_in_order(std::span<const AdapterSegment> segments) {
  runs_.clear();
  run_segments_.clear();
  std::int32_t row_end = 0;
  for (std::size_t begin = 0, end = 0; begin < segments.size(); begin = end) {
    const AdapterSegment& first = segments[begin];
    if (first.row_begin < row_end) return false;
    row_end = first.row_begin + first.row_count;
    for (; end < segments.size() && segments[end].row_begin == first.row_begin && segments[end].row_count == first.row_count; ++end) {
      run_segments_.push_back(static_cast<std::int32_t>(end));
    }
    runs_.push_back({first.row_begin, first.row_count, static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end - begin)});
  }
  return true;
}

}  // namespace slora
