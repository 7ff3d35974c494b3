#pragma once
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/traffic_target.h"

namespace slora::bench {

// Lets requests of one adapter at a time through to another target, as merged weights need it; the base model counts as an adapter. The
// next adapter is that of the oldest request that waits, and comes when nothing runs any more. A request joins its adapter's batch unless
// more than 30 requests of other adapters wait: the queue of S-LoRA's merging experiments. What waits here is sent and not answered yet, as
// in any queue. One thread.
class OneAdapterTarget final : public TrafficTarget {
 public:
  explicit OneAdapterTarget(std::unique_ptr<TrafficTarget> inner) : inner_(std::move(inner)) {}

  [[nodiscard]] Result<std::vector<std::string>> adapter_names() override { return inner_->adapter_names(); }
  [[nodiscard]] Status send(std::size_t request, const TrafficRequest& content) override;
  // An error of a request that waited and could not be sent ends the run.
  [[nodiscard]] Status wait(std::vector<TrafficEvent>& events, Timestamp until) override;
  [[nodiscard]] std::optional<Timestamp> silence_max() const override { return inner_->silence_max(); }

 private:
  struct Waiting {
    std::size_t request;
    TrafficRequest content;
  };

  [[nodiscard]] Status pass(std::size_t request, const TrafficRequest& content);
  [[nodiscard]] Status pass_next_adapter();

  const std::unique_ptr<TrafficTarget> inner_;
  std::string adapter_;  // of those that run
  std::size_t running_count_ = 0;
  std::deque<Waiting> waiting_;  // by age
};

}  // namespace slora::bench
