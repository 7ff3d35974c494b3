#pragma once
#include <memory>
#include <unordered_map>

#include "bench/step_watch.h"
#include "bench/traffic_target.h"
#include "engine/runtime.h"

namespace slora::bench {

// Sends requests to an engine in this process. One thread in addition to the engine's.
class TrafficEngine final : public TrafficTarget {
 public:
  [[nodiscard]] static Result<std::unique_ptr<TrafficEngine>> create(RuntimeOptions options);

  [[nodiscard]] Result<std::vector<std::string>> adapter_names() override;
  [[nodiscard]] Status send(std::size_t request, const TrafficRequest& content) override;
  [[nodiscard]] Status wait(std::vector<TrafficEvent>& events, Timestamp until) override;

  [[nodiscard]] std::optional<PoolContents> pool_contents() const override;

  [[nodiscard]] const Runtime& runtime() const { return *runtime_; }

 private:
  TrafficEngine() = default;

  StepWatch watch_;  // outlives the engine
  std::unique_ptr<Runtime> runtime_;
  std::unordered_map<SequenceId, std::size_t> requests_;  // running ones
};

}  // namespace slora::bench
