#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "metrics/metrics.h"
#include "traces/collector_url.h"
#include "traces/span.h"

namespace slora {

struct SpanExporterOptions {
  CollectorUrl collector;
  std::string service_version;
  std::size_t waiting_max = 8192;               // spans; more are dropped
  std::size_t batch_max = 512;                  // spans of one export
  std::chrono::milliseconds pause{1000};        // between two exports, unless a whole batch waits
  std::chrono::milliseconds export_time{3000};  // after which an export counts as failed; a look-up of the name that hangs takes longer
  std::chrono::milliseconds retry_pause{1000};  // before a failed export is repeated; doubles each time
  std::chrono::milliseconds retry_time{60000};  // after which a batch is dropped, and the longest pause
};

// Sends spans to a collector by OTLP over HTTP in JSON, on a thread of its own. Whoever adds spans never waits for the network: when the
// collector does not keep up or can't be reached, spans are dropped and counted.
class SpanExporter {
 public:
  // `registry` outlives it.
  SpanExporter(SpanExporterOptions options, MetricsRegistry& registry);
  // Sends what waits, until an export fails. Takes at most the rest of an export, and a second, unless the system's look-up of the
  // collector's name hangs, which nothing can end.
  ~SpanExporter();
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  // The spans of one request: all of them are sent, or none. Any thread.
  void add(std::vector<Span> spans);

 private:
  // How an export ended.
  struct Attempt {
    bool is_taken = false, may_repeat = false;
    std::optional<std::chrono::milliseconds> retry_after{};  // as the collector says
    std::string why{};                                       // it failed
  };

  enum class Delivery { taken, failed };

  void run();
  // Waits until there is something to send, and makes it the batch: an empty one once the exporter ends.
  void take_batch();
  // Returns when the batch was taken, or dropped.
  [[nodiscard]] Delivery deliver_batch();
  [[nodiscard]] Attempt send_batch();
  [[nodiscard]] Attempt read_answer(int status, const std::string& retry_after, const std::string& body);
  // Less where the exporter ends.
  void wait(std::chrono::milliseconds time);
  [[nodiscard]] bool is_ending();
  void warn(std::string_view why, std::string_view consequence);

  const SpanExporterOptions options_;
  Counter &exported_, &dropped_full_, &dropped_failed_, &dropped_rejected_;
  std::minstd_rand random_{std::random_device{}()};                          // of the thread, as the next three
  std::optional<std::chrono::steady_clock::time_point> last_warning_, end_;  // end_: of all exports, once the exporter ends
  std::vector<Span> batch_;  // never more than its first capacity, so that taking one allocates nothing
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Span> waiting_;  // guarded by mutex_
  bool is_ending_ = false;    // guarded by mutex_
  std::thread thread_;        // last: it uses the others
};

}  // namespace slora
