#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "backend/adapter_runs.h"
#include "model/forward_batch.h"
#include "ops/training.h"
#include "train/sample.h"

namespace slora {

// Rows that a sample needs: up to the one whose logits its last label is learned from. 0: it has no label.
[[nodiscard]] std::int64_t row_count_of(const Sample& sample);
[[nodiscard]] std::int64_t label_count_of(const Sample& sample);

// Whole samples that are computed at once, one after the other, under one adapter. Owned by a SamplePass, which uses its memory again.
class MicroBatch {
 public:
  // Requires: samples with labels. `page_tokens`: of the pages that the samples get, from 0 on.
  void build(std::span<const Sample* const> samples, const AdapterView& adapter, std::int32_t page_tokens, float label_weight);

  [[nodiscard]] const ForwardBatch& batch() const { return batch_; }
  [[nodiscard]] std::int64_t row_count() const { return static_cast<std::int64_t>(tokens_.size()); }
  [[nodiscard]] std::span<const SpanView> spans() const { return spans_; }
  // Rows whose logits are learned from, and what should follow there: of sample after sample.
  [[nodiscard]] StepArray<std::int32_t> label_rows() const { return label_rows_; }
  [[nodiscard]] std::span<const LabelRow> labels() const { return labels_; }
  // The modules of a site over each sample. Valid until the next call.
  [[nodiscard]] std::span<const TrainedRows> over_samples(std::span<const TrainedModule> modules);

 private:
  void add(const Sample& sample, std::int32_t page_tokens, float label_weight);

  std::vector<TokenId> tokens_;
  std::vector<std::int32_t> positions_;
  std::vector<SpanView> spans_;
  std::vector<PageIndex> pages_;
  std::vector<AdapterSegment> segments_;
  AdapterRuns runs_;
  std::vector<std::int32_t> label_rows_;
  std::vector<LabelRow> labels_;
  std::vector<TrainedRows> trained_rows_;
  ForwardBatch batch_;
};

// How many of `samples`, from the first on, make the next micro-batch within these limits: at least one.
[[nodiscard]] std::size_t next_micro_batch(std::span<const Sample* const> samples, std::int64_t rows_max, std::int64_t samples_max);

}  // namespace slora
