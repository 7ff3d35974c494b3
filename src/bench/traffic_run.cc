#include "bench/traffic_run.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "bench/process_time.h"

namespace slora::bench {
namespace {

constexpr Timestamp kWait = std::chrono::milliseconds(200);  // longest time between two checks of `stop`

// The state of a run. One thread.
class TrafficLoop {
 public:
  TrafficLoop(TrafficTarget& target, const TrafficOptions& options, const Clock& clock, std::vector<std::string> adapters)
      : target_(target), options_(options), clock_(clock), adapters_(std::move(adapters)) {
    next_cold_adapter_ = static_cast<std::size_t>(options_.adapter_count) + static_cast<std::size_t>(options_.cold_begin);
    run_.begin = clock_.now();
  }

  Result<TrafficRun> run(const std::function<void(std::uint64_t, std::uint64_t)>& progress, const std::atomic<bool>& stop) {
    const double processor_begin = processor_seconds();
    const auto total = static_cast<std::size_t>(options_.requests);
    std::vector<TrafficEvent> events;
    while (stream_count_ > 0 || cold_count_ > 0 || sent_ < total) {
      run_.interrupted = stop.load();
      if (run_.interrupted) break;
      const auto streams = static_cast<std::size_t>(options_.streams);
      for (; stream_count_ < streams && sent_ < total && !stop.load(); ++sent_, ++stream_count_) {
        if (Status sent = send(false, traffic_request(options_, adapters_, sent_)); !sent) return forward_error(sent);
      }
      if (stream_count_ > 0) {
        if (Status sent = send_cold(); !sent) return forward_error(sent);
      }
      events.clear();
      if (Status waited = target_.wait(events, next_look()); !waited) return forward_error(waited);
      const std::size_t running = stream_count_;
      if (Status status = check_silence(events); !status) return forward_error(status);
      for (const TrafficEvent& event : events) take(event);
      if (stream_count_ < running) progress(sent_ - stream_count_, total);
    }
    run_.processor_seconds = processor_seconds() - processor_begin;
    return std::move(run_);
  }

 private:
  Status send(bool is_cold, const TrafficRequest& request) {
    TrafficRecord& record = run_.records.emplace_back();
    record.is_cold = is_cold;
    record.tokens.reserve(static_cast<std::size_t>(request.output_tokens));
    record.sent = clock_.now();
    if (stream_count_ + cold_count_ == 0) last_event_at_ = record.sent;
    Status sent = target_.send(run_.records.size() - 1, request);
    last_event_at_ += clock_.now() - record.sent;  // nothing is received while sending
    return sent;
  }

  // Sends a cold request when one is due.
  Status send_cold() {
    const Timestamp now = clock_.now();
    if (options_.cold_per_second <= 0 || phase_of(options_, now - run_.begin) % 2 == 0 || now < next_cold_at_) return {};
    if (next_cold_adapter_ >= adapters_.size()) {
      run_.ran_out_of_adapters = true;
      return {};
    }
    next_cold_at_ = now + cold_interval();
    ++cold_count_;
    ++run_.cold_count;
    const std::size_t adapter = next_cold_adapter_++;
    return send(true, cold_request(options_, adapters_[adapter], adapter));
  }

  // Over all requests: a single one may wait longer.
  Status check_silence(const std::vector<TrafficEvent>& events) {
    const Timestamp now = clock_.now();
    if (!events.empty()) last_event_at_ = now;
    const std::optional<Timestamp> silence_max = target_.silence_max();
    if (!silence_max || now - last_event_at_ < *silence_max) return {};
    return error("E_RUN", "nothing was received for {:.0f} seconds, while {} requests waited for their answers", seconds(*silence_max),
                 stream_count_ + cold_count_);
  }

  void take(const TrafficEvent& event) {
    TrafficRecord& record = run_.records[event.request];
    record.tokens.insert(record.tokens.end(), static_cast<std::size_t>(event.token_count), event.at);
    record.cached_tokens += event.cached_tokens;
    if (!event.ended) return;
    record.ended = event.at;
    record.error = event.error;
    --(record.is_cold ? cold_count_ : stream_count_);
  }

  [[nodiscard]] Timestamp next_look() const {
    const Timestamp now = clock_.now(), look = now + kWait;
    if (options_.cold_per_second <= 0) return look;
    return std::min(std::max(next_cold_at_, now + cold_interval() / 10), look);
  }
  [[nodiscard]] Timestamp cold_interval() const { return Timestamp(std::llround(1e9 / options_.cold_per_second)); }

  TrafficTarget& target_;
  const TrafficOptions options_;
  const Clock& clock_;
  const std::vector<std::string> adapters_;
  TrafficRun run_;
  std::size_t sent_ = 0;                           // by the streams
  std::size_t stream_count_ = 0, cold_count_ = 0;  // running requests
  std::size_t next_cold_adapter_ = 0;
  Timestamp next_cold_at_{};
  Timestamp last_event_at_{};  // last event; before any, when the first running request was sent
};

// Names of all adapters of the target.
Result<std::vector<std::string>> enough_adapters(TrafficTarget& target, const TrafficOptions& options) {
  Result<std::vector<std::string>> adapters = target.adapter_names();
  if (!adapters) return adapters;
  const auto needed = static_cast<std::size_t>(options.adapter_count) + (options.cold_per_second > 0 ? 1 : 0);
  if (adapters->size() < needed) {
    return error("bad_option", "--adapter-count: {} adapters are needed, and there are {}", needed, adapters->size());
  }
  return adapters;
}

}  // namespace

std::int64_t phase_of(const TrafficOptions& options, Timestamp since_begin) {
  return static_cast<std::int64_t>(seconds(since_begin) / options.phase_seconds);
}

Status can_run_traffic(TrafficTarget& target, const TrafficOptions& options) {
  Result<std::vector<std::string>> adapters = enough_adapters(target, options);
  if (!adapters) return forward_error(adapters);
  return {};
}

Result<TrafficRun> run_traffic(TrafficTarget& target, const TrafficOptions& options, const Clock& clock,
                               const std::function<void(std::uint64_t, std::uint64_t)>& progress, const std::atomic<bool>& stop) {
  Result<std::vector<std::string>> adapters = enough_adapters(target, options);
  if (!adapters) return forward_error(adapters);
  return TrafficLoop(target, options, clock, std::move(*adapters)).run(progress, stop);
}

}  // namespace slora::bench
