#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "bench/traffic_request.h"

namespace slora::bench {

// An event of a request: tokens arrived, or it ended, or both.
struct TrafficEvent {
  std::size_t request = 0;  // the number it was sent with
  Timestamp at{};
  std::int32_t token_count = 0;
  std::int64_t cached_tokens = 0;  // of its prompt, from the prefix cache; reported once
  bool ended = false;
  std::string error;  // why it ended early; else empty
};

// What answers requests: an engine in this process, or a server. One thread.
class TrafficTarget {
 public:
  virtual ~TrafficTarget() = default;

  // Names of all adapters, sorted.
  [[nodiscard]] virtual Result<std::vector<std::string>> adapter_names() = 0;
  // An error here ends the whole run; a later failure affects only its request.
  [[nodiscard]] virtual Status send(std::size_t request, const TrafficRequest& content) = 0;
  // Appends the events since the last call. Waits for a request to end, but not beyond `until`; may return early.
  [[nodiscard]] virtual Status wait(std::vector<TrafficEvent>& events, Timestamp until) = 0;
  // Silence, while requests run, after which no event can be expected any more; none: there is no such limit.
  [[nodiscard]] virtual std::optional<Timestamp> silence_max() const { return std::nullopt; }
};

}  // namespace slora::bench
