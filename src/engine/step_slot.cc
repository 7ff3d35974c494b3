#include "engine/step_slot.h"

#include <algorithm>
#include <utility>

namespace slora {
namespace {

constexpr std::size_t kListCapacityMin = 256;  // elements

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

void StepSlot::submit(ModelShards& model, MaskThreads& masks, const StepSlot* before, const std::function<void()>& on_progress) {
  if (!model.backend().shares_host_memory()) output_rows.take_masks(masks);
  std::optional<StepKey> key = try_pad(model);
  upload(model, key);
  const TokenResult* const previous = before == nullptr ? nullptr : before->device_results();
  struct Call {
    StepSlot& slot;
    ModelShards& model;
    MaskThreads& masks;
    const TokenResult* previous;
    const std::function<void()>& on_progress;
  };
  const Call call{*this, model, masks, previous, on_progress};  // so that the function below needs no memory
  if (key) {
    model.backend().replay_step(*key, [&call] { call.slot.call_ops(call.model, call.masks, call.previous, call.on_progress); });
  } else {
    call_ops(model, masks, previous, on_progress);
  }
  const std::size_t bytes = output_rows.size() * sizeof(TokenResult);
  fence_ = model.backend().download_step({host_results_.data(), bytes}, device_results_.data());
}

std::optional<StepKey> StepSlot::try_pad(ModelShards& model) {
  if (model.shard_count() > 1 || !model.backend().replays_steps() || !builder.try_pad(model.first_model().limits())) return std::nullopt;
  const std::size_t rows = builder.batch().tokens.size();
  const std::size_t masks = output_rows.pad(rows);
  std::size_t longest = 0;
  visit_arrays([&](const auto& array, ArrayKind kind) {
    if (kind == ArrayKind::list) longest = std::max(longest, array.size());
  });
  std::size_t capacity = kListCapacityMin;
  while (capacity < longest) capacity *= 4;
  return StepKey{.slot = index_,
                 .rows = static_cast<std::int32_t>(rows),
                 .segments = static_cast<std::int32_t>(builder.batch().adapters.segments.size()),
                 .head_segments = static_cast<std::int32_t>(builder.output_blocks().front().adapters.segments.size()),
                 .list_capacity = static_cast<std::int32_t>(capacity),
                 .masks = static_cast<std::int32_t>(masks)};
}

void StepSlot::upload(ModelShards& model, std::optional<StepKey>& key) {
  blob_.clear(key ? static_cast<std::size_t>(key->list_capacity) : 0);
  visit_arrays([&](const auto& array, ArrayKind kind) { blob_.add(array, kind); });
  blob_.upload(index_);
  visit_arrays([&](auto& array, ArrayKind kind) { blob_.place(array, kind); });
  if (model.shard_count() > 1) return;  // each shard calls its ops with arrays of its own
  adapters_.assign(1, builder.batch().adapters);
  for (const OutputBlock& block : builder.output_blocks()) adapters_.push_back(block.adapters);
  const std::uint32_t work = model.backend().prepare_step(index_, {builder.batch().spans, adapters_});
  if (key) key->work = work;
}

void StepSlot::call_ops(ModelShards& model, MaskThreads& masks, const TokenResult* previous, const std::function<void()>& on_progress) {
  builder.batch().previous = previous;
  model.forward(builder.batch(), on_progress);

  Ops& ops = model.ops();
  bool has_masks = !model.backend().shares_host_memory();  // they went up with the other arrays
  SampleBatch samples = output_rows.samples(previous);
  std::size_t begin = 0;
  for (const OutputBlock& block : builder.output_blocks()) {
    const std::size_t end = begin + block.rows.size();
    const std::size_t score_begin = std::clamp(samples.rows.size(), begin, end);
    const std::size_t sample_count = score_begin - begin, score_count = end - score_begin;
    const Tensor logits = model.logits(builder.batch(), block);
    if (sample_count > 0 && !std::exchange(has_masks, true)) {
      output_rows.take_masks(masks);
      samples = output_rows.samples(previous);
    }
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
}

}  // namespace slora
