#include "bench/traffic_engine.h"

#include <utility>

namespace slora::bench {

Result<std::unique_ptr<TrafficEngine>> TrafficEngine::create(RuntimeOptions options) {
  auto target = std::unique_ptr<TrafficEngine>(new TrafficEngine);
  Result<std::unique_ptr<Runtime>> runtime = Runtime::create(std::move(options), target->watch_.sink());
  if (!runtime) return forward_error(runtime);
  target->runtime_ = std::move(*runtime);
  return target;
}

Result<std::vector<std::string>> TrafficEngine::adapter_names() {
  std::vector<std::string> names;
  for (const AdapterListing& adapter : runtime_->adapters().list()) names.push_back(adapter.name);
  return names;
}

Status TrafficEngine::send(std::size_t request, const TrafficRequest& content) {
  GenerationRequest sequence;
  sequence.id = runtime_->engine().next_sequence_id();
  sequence.prompt = content.prompt;
  sequence.output_tokens_max = content.output_tokens;
  sequence.sampling.temperature = 0;
  if (!content.adapter.empty()) {
    Result<std::shared_ptr<const AdapterVersion>> version = runtime_->adapters().resolve(content.adapter);
    if (!version) return forward_error(version);
    sequence.adapter = std::move(*version);
  }
  const SequenceId id = sequence.id;
  if (Status submitted = runtime_->engine().submit(std::move(sequence)); !submitted) return submitted;
  requests_[id] = request;  // in time: events are looked up only in wait()
  return {};
}

Status TrafficEngine::wait(std::vector<TrafficEvent>& events, Timestamp until) {
  for (const WatchedStep& step : watch_.wait_for_ends(1, until)) {
    for (const TokenEvent& reported : step.events) {
      const auto request = requests_.find(reported.sequence);
      TrafficEvent& event = events.emplace_back();
      event.request = request->second;
      event.at = step.at;
      event.token_count = reported.token.id >= 0 ? 1 : 0;
      event.cached_tokens = reported.cached_tokens;
      event.ended = reported.end.has_value();
      if (!reported.end) continue;
      if (*reported.end != EndReason::length) event.error = reported.error_message.empty() ? "it was ended early" : reported.error_message;
      requests_.erase(request);
    }
  }
  return {};
}

std::optional<PoolContents> TrafficEngine::pool_contents() const {
  const EngineStats stats = runtime_->engine().stats();
  const AdapterBase& base = runtime_->adapters().base();
  const std::uint64_t pages = std::uint64_t{stats.scheduler.pages_adapter} * static_cast<std::uint64_t>(base.modules.shard_count);
  return PoolContents{stats.adapters_resident, pages * base.page_bytes};
}

}  // namespace slora::bench
