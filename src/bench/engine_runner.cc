#include "bench/engine_runner.h"

#include <algorithm>
#include <iterator>

namespace slora::bench {
namespace {

constexpr float kTemperature = 0.8f;

// Why a sequence ended early, if one did.
Status check_ends(std::span<const WatchedStep> steps) {
  for (const WatchedStep& step : steps) {
    for (const TokenEvent& event : step.events) {
      if (!event.end || *event.end == EndReason::length) continue;
      return error("E_RUN", "a sequence failed: {}", event.error_message.empty() ? "it was ended early" : event.error_message);
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<EngineRunner>> EngineRunner::create(RuntimeOptions options, double top_p) {
  auto runner = std::unique_ptr<EngineRunner>(new EngineRunner(top_p));
  Result<std::unique_ptr<Runtime>> runtime = Runtime::create(std::move(options), runner->watch_.sink());
  if (!runtime) return forward_error(runtime);
  runner->runtime_ = std::move(*runtime);
  return runner;
}

Result<EngineRun> EngineRunner::run(std::span<const SequenceToRun> sequences, std::size_t batch) {
  EngineRun run;
  run.begin = SteadyClock().now();
  for (std::size_t running = 0; run.sequences.size() < sequences.size() || running > 0;) {
    const bool is_first = run.sequences.empty();
    if (is_first) watch_.hold();
    const std::size_t next = run.sequences.size();
    Status submitted = submit(run, sequences.subspan(next, std::min(batch - running, sequences.size() - next)));
    if (is_first) watch_.release();
    if (!submitted) return forward_error(submitted);
    running += run.sequences.size() - next;
    const bool all_are_in = run.sequences.size() == sequences.size();
    std::vector<WatchedStep> steps = watch_.wait_for_ends(all_are_in ? running : 1);
    if (Status ended = check_ends(steps); !ended) return forward_error(ended);
    for (const WatchedStep& step : steps) {
      running -=
          static_cast<std::size_t>(std::ranges::count_if(step.events, [](const TokenEvent& event) { return event.end.has_value(); }));
    }
    std::ranges::move(steps, std::back_inserter(run.steps));
  }
  return run;
}

Status EngineRunner::submit(EngineRun& run, std::span<const SequenceToRun> sequences) {
  for (const SequenceToRun& sequence : sequences) {
    Result<SequenceId> id = submit(sequence);
    if (!id) return forward_error(id);
    run.sequences.push_back(*id);
  }
  return {};
}

Result<SequenceId> EngineRunner::submit(const SequenceToRun& sequence) {
  GenerationRequest request;
  request.id = runtime_->engine().next_sequence_id();
  request.prompt = sequence.prompt;
  request.output_tokens_max = sequence.output_tokens;
  request.sampling.temperature = top_p_ < 1 ? kTemperature : 0;
  request.sampling.top_p = static_cast<float>(top_p_);
  request.sampling.seed = request.id.value;
  if (!sequence.adapter.empty()) {
    Result<std::shared_ptr<const AdapterVersion>> version = runtime_->adapters().resolve(sequence.adapter);
    if (!version) return forward_error(version);
    request.adapter = std::move(*version);
  }
  const SequenceId id = request.id;
  if (Status submitted = runtime_->engine().submit(std::move(request)); !submitted) return forward_error(submitted);
  return id;
}

std::vector<TokenId> EngineRunner::random_prompt(std::int64_t token_count, std::uint64_t seed) const {
  RandomNumbers random(seed);
  std::vector<TokenId> prompt(static_cast<std::size_t>(token_count));
  const auto vocabulary = static_cast<std::uint64_t>(runtime_->model_config().vocab_size);
  for (TokenId& token : prompt) token = static_cast<TokenId>(random.below(vocabulary));
  return prompt;
}

}  // namespace slora::bench
