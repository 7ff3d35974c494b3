#include "engine/step_slot.h"

#include <algorithm>

namespace slora {
namespace {

// No row of a batch gives two results.
std::size_t result_bytes(const ModelShards& model) {
  return static_cast<std::size_t>(model.first_model().limits().step_tokens_max) * sizeof(TokenResult);
}

}  // namespace

StepSlot::StepSlot(ModelShards& model, int index)
    : index_(index),
      blob_(model.backend()),
      device_results_(model.backend().allocate(result_bytes(model))),
      host_results_(model.backend().host_memory(result_bytes(model))) {}

void StepSlot::submit(ModelShards& model, const StepSlot* before, const std::function<void()>& on_progress) {
  const auto visit_arrays = [&](const auto& visit) {
    builder.visit_arrays(visit);
    output_rows.visit_arrays(visit);
  };
  blob_.clear();
  visit_arrays([&](const auto& array) { blob_.add(array); });
  blob_.upload(index_);
  visit_arrays([&](auto& array) { blob_.place(array); });

  const TokenResult* const previous = before == nullptr ? nullptr : before->device_results();
  builder.batch().previous = previous;
  model.forward(builder.batch(), on_progress);

  Ops& ops = model.ops();
  const SampleBatch samples = output_rows.samples(previous);
  std::size_t begin = 0;
  for (const OutputBlock& block : builder.output_blocks()) {
    const std::size_t end = begin + block.rows.size();
    const std::size_t score_begin = std::clamp(samples.rows.size(), begin, end);
    const std::size_t sample_count = score_begin - begin, score_count = end - score_begin;
    const Tensor logits = model.logits(builder.batch(), block);
    TokenResult* const out = device_results() + begin;
    if (sample_count > 0) ops.sample({out, sample_count}, logits, samples.from(begin, sample_count));
    if (score_count > 0) {
      ops.score({out + sample_count, score_count},
                logits.rows_from(static_cast<std::int64_t>(sample_count), static_cast<std::int64_t>(score_count)),
                output_rows.scores().from(score_begin - samples.rows.size(), score_count));
    }
    on_progress();
    begin = end;
  }
  fence_ = model.backend().download_step({host_results_.data(), begin * sizeof(TokenResult)}, device_results_.data());
}

}  // namespace slora
