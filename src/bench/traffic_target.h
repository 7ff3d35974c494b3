#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
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
  // As the target counts them, reported once, at the end: tokens of the prompt, those of them from the prefix cache, and of the answer. 0:
  // it does not.
  std::int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;
  bool ended = false;
  std::string error;        // why it ended early; else empty
  std::int32_t status = 0;  // of HTTP, when a server refused the request; else 0
};

// What a target's pool of pages holds.
struct PoolContents {
  std::size_t adapter_count = 0;    // images
  std::uint64_t adapter_bytes = 0;  // of their pages; what they share counts once
};

// Error code: too many open files, ports or connections of the client's own, which says nothing about the server.
inline constexpr std::string_view kClientLimit = "E_CLIENT_LIMIT";

// What answers requests: an engine in this process, or a server. One thread.
class TrafficTarget {
 public:
  virtual ~TrafficTarget() = default;

  // Names of all adapters, sorted.
  [[nodiscard]] virtual Result<std::vector<std::string>> adapter_names() = 0;
  // An error: the request was not sent, no event of it will come, and others are not affected. Its code is kClientLimit when nothing but a
  // limit of this process or its machine was in the way.
  [[nodiscard]] virtual Status send(std::size_t request, const TrafficRequest& content) = 0;
  // Appends the events since the last call. Waits for a request to end, but not beyond `until`; may return early.
  [[nodiscard]] virtual Status wait(std::vector<TrafficEvent>& events, Timestamp until) = 0;
  // Nothing where it cannot be known.
  [[nodiscard]] virtual std::optional<PoolContents> pool_contents() const { return std::nullopt; }
  // Silence, while requests run, after which no event can be expected any more; none: there is no such limit.
  [[nodiscard]] virtual std::optional<Timestamp> silence_max() const { return std::nullopt; }
};

}  // namespace slora::bench
