#include "train/micro_batch.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace slora {

std::int64_t row_count_of(const Sample& sample) {
  const auto last = std::find(sample.labels.rbegin(), sample.labels.rend(), true);
  return std::max<std::int64_t>(0, sample.labels.rend() - last - 1);
}

std::int64_t label_count_of(const Sample& sample) { return std::count(sample.labels.begin(), sample.labels.end(), true); }

void MicroBatch::build(std::span<const Sample* const> samples, const AdapterView& adapter, std::int32_t page_tokens, float label_weight) {
  tokens_.clear();
  positions_.clear();
  spans_.clear();
  pages_.clear();
  label_rows_.clear();
  labels_.clear();
  for (const Sample* sample : samples) add(*sample, page_tokens, label_weight);
  segments_.assign(1, {0, static_cast<std::int32_t>(tokens_.size()), 0, 1.0f, &adapter});
  runs_.cut(segments_);
  batch_.tokens = tokens_;
  batch_.rope_rows = positions_;
  batch_.spans = {spans_, pages_};
  batch_.adapters = {.segments = segments_, .z_cols = adapter.z_cols_max, .runs = runs_.runs(), .run_segments = runs_.segments()};
}

void MicroBatch::add(const Sample& sample, std::int32_t page_tokens, float label_weight) {
  const auto begin = static_cast<std::int32_t>(tokens_.size()), count = static_cast<std::int32_t>(row_count_of(sample));
  check(count > 0 && sample.labels.size() == sample.tokens.size() && !sample.labels[0],
        "expected a sample with labels after its first token");
  const auto first_page = static_cast<std::int32_t>(pages_.size()), page_count = (count + page_tokens - 1) / page_tokens;
  for (std::int32_t i = 0; i < page_count; ++i) pages_.push_back({static_cast<std::uint32_t>(first_page + i)});
  spans_.push_back({begin, count, 0, first_page, page_count});
  for (std::int32_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    tokens_.push_back(sample.tokens[at]);
    positions_.push_back(i);
    if (!sample.labels[at + 1]) continue;
    label_rows_.push_back(begin + i);
    labels_.push_back({sample.tokens[at + 1], label_weight});
  }
}

std::span<const TrainedRows> MicroBatch::over_samples(std::span<const TrainedModule> modules) {
  trained_rows_.clear();
  for (const SpanView& span : spans_) {
    for (const TrainedModule& module : modules) trained_rows_.push_back({span.row_begin, span.row_count, &module});
  }
  return trained_rows_;
}

std::size_t next_micro_batch(std::span<const Sample* const> samples, std::int64_t rows_max, std::int64_t samples_max) {
  std::int64_t rows = 0;
  std::size_t count = 0;
  while (count < samples.size() && std::cmp_less(count, samples_max)) {
    rows += row_count_of(*samples[count]);
    if (count > 0 && rows > rows_max) break;
    ++count;
  }
  return count;
}

}  // namespace slora
