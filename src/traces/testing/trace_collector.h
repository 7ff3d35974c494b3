#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace slora {

// Receives what a SpanExporter sends, on a port of the loopback. A thread of its own; its methods may be called by any.
class TraceCollector {
 public:
  // Answers the first exports with these statuses, which may be followed by lines of headers, and all others with 200 and `body`.
  // "hang" keeps the connection open without an answer.
  explicit TraceCollector(std::vector<std::string> first_answers = {}, std::string body = "{}");
  ~TraceCollector();
  TraceCollector(const TraceCollector&) = delete;
  TraceCollector& operator=(const TraceCollector&) = delete;

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1/traces"; }
  // The spans of all exports that were answered with 200, once there are `count`; fewer after half a minute.
  [[nodiscard]] std::vector<nlohmann::json> wait_for_spans(std::size_t count) const;
  // Exports that came, whatever their answer.
  [[nodiscard]] std::size_t export_count() const;
  // The head of the latest export.
  [[nodiscard]] std::string head() const;

 private:
  void run();
  void serve(int connection);

  const std::vector<std::string> first_answers_;
  const std::string body_;
  int listening_ = -1;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::string head_;                   // guarded by mutex_
  std::size_t export_count_ = 0;       // guarded by mutex_
  std::vector<nlohmann::json> spans_;  // guarded by mutex_
  std::atomic<bool> is_ending_ = false;
  std::thread thread_;  // last: it uses the others
};

// The value of a span's attribute, whatever its type; null where it has none.
[[nodiscard]] nlohmann::json attribute_of(const nlohmann::json& span, const std::string& name);

}  // namespace slora
