#include "bench/online_run.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "base/check.h"
#include "bench/process_time.h"

namespace slora::bench {
namespace {

constexpr Timestamp kOnlineWait = std::chrono::milliseconds(200);  // longest time between two checks of `stop`
constexpr Timestamp kProbeWait = std::chrono::seconds(300);        // for a server that is still loading its adapter
constexpr std::int32_t kTooManyRequests = 429, kUnavailable = 503;
constexpr std::int32_t kBadRequest = 400, kUnprocessable = 422;

// The state of a run. One thread.
class OpenLoop {
 public:
  OpenLoop(TrafficTarget& target, const Trace& trace, const PromptOptions& prompts, const Clock& clock)
      : target_(target), trace_(trace), prompts_(prompts), clock_(clock), begin_(clock.now()), last_event_at_(begin_) {
    run_.served.reserve(trace.requests.size());
    run_.late_seconds.reserve(trace.requests.size());
  }

  Result<OnlineRun> run(const std::function<void(std::uint64_t, std::uint64_t)>& progress, const std::atomic<bool>& stop) {
    const double processor_begin = processor_seconds();
    std::vector<TrafficEvent> events;
    while (running_count_ > 0 || run_.served.size() < trace_.requests.size()) {
      run_.interrupted = stop.load();
      if (run_.interrupted) break;
      while (is_due() && !stop.load()) send_next();
      events.clear();
      if (Status waited = target_.wait(events, next_look()); !waited) return forward_error(waited);
      if (Status status = check_silence(events); !status) return forward_error(status);
      for (const TrafficEvent& event : events) take(event);
      if (!events.empty()) progress(run_.served.size() - running_count_, trace_.requests.size());
    }
    run_.processor_seconds = processor_seconds() - processor_begin;
    return std::move(run_);
  }

 private:
  [[nodiscard]] double now() const { return seconds(clock_.now() - begin_); }

  // When the next request is to be sent; nothing: all were.
  [[nodiscard]] std::optional<Timestamp> next_due() const {
    if (run_.served.size() == trace_.requests.size()) return std::nullopt;
    return begin_ + Timestamp(std::llround(trace_.requests[run_.served.size()].arrival * 1e9));
  }
  [[nodiscard]] bool is_due() const {
    const std::optional<Timestamp> due = next_due();
    return due && *due <= clock_.now();
  }

  void send_next() {
    const std::size_t index = run_.served.size();
    const TraceRequest& request = trace_.requests[index];
    const TrafficRequest content = online_request(prompts_, request, index);
    ServedRequest& served = run_.served.emplace_back();
    served.request = static_cast<std::int32_t>(index);
    served.arrival = request.arrival;
    if (running_count_ == 0) last_event_at_ = clock_.now();
    run_.late_seconds.push_back(std::max(0.0, now() - request.arrival));
    const Status sent = target_.send(index, content);
    if (sent) {
      ++running_count_;
    } else {
      end(served, sent.error().code == kClientLimit ? ServedEnd::unsent : ServedEnd::failed, sent.error().message);
    }
  }

  void take(const TrafficEvent& event) {
    ServedRequest& served = run_.served[event.request];
    const double at = seconds(event.at - begin_);
    if (event.token_count > 0) {
      if (served.first_token < 0) served.first_token = at;
      served.last_token = at;
      served.output_tokens += event.token_count;
    }
    if (!event.ended) return;
    check(served.end == ServedEnd::abandoned, "expected a request that was sent to end once, and one that was not to have no events");
    --running_count_;
    if (!event.error.empty()) {
      const bool was_refused = event.status == kTooManyRequests || event.status == kUnavailable;
      return end(served, was_refused ? ServedEnd::aborted : ServedEnd::failed, event.error);
    }
    if (event.output_tokens > 0) served.output_tokens = static_cast<std::int32_t>(event.output_tokens);
    run_.prompt_tokens += event.prompt_tokens;
    run_.cached_tokens += event.cached_tokens;
    end(served, ServedEnd::completed, {});
  }

  void end(ServedRequest& served, ServedEnd how, const std::string& why) {
    served.end = how;
    if (how == ServedEnd::failed && run_.first_failure.empty()) run_.first_failure = why;
    if (how == ServedEnd::unsent && run_.first_unsent.empty()) run_.first_unsent = why;
    if (how == ServedEnd::aborted && run_.first_abort.empty()) run_.first_abort = why;
  }

  // When the next request is due, or earlier.
  [[nodiscard]] Timestamp next_look() const {
    const Timestamp look = clock_.now() + kOnlineWait;
    return std::min(look, next_due().value_or(look));
  }

  // Over all requests: a single one may wait longer.
  Status check_silence(const std::vector<TrafficEvent>& events) {
    if (!events.empty() || running_count_ == 0) last_event_at_ = clock_.now();
    const std::optional<Timestamp> silence_max = target_.silence_max();
    if (!silence_max || clock_.now() - last_event_at_ < *silence_max) return {};
    return error("E_RUN", "nothing was received for {:.0f} seconds, while {} requests waited for their answers", seconds(*silence_max),
                 running_count_);
  }

  TrafficTarget& target_;
  const Trace& trace_;
  const PromptOptions& prompts_;
  const Clock& clock_;
  const Timestamp begin_;
  OnlineRun run_;
  std::size_t running_count_ = 0;
  Timestamp last_event_at_;  // last event; before any, when the first running request was sent
};

}  // namespace

Status probe_target(TrafficTarget& target, const PromptOptions& prompts, const Clock& clock, const std::atomic<bool>& stop) {
  if (Status sent = target.send(0, probe_request(prompts)); !sent) return sent;
  const Timestamp give_up = clock.now() + kProbeWait;
  std::vector<TrafficEvent> events;
  while (clock.now() < give_up && !stop.load()) {
    events.clear();
    if (Status waited = target.wait(events, clock.now() + kOnlineWait); !waited) return waited;
    const auto end = std::ranges::find(events, true, &TrafficEvent::ended);
    if (end == events.end()) continue;
    if (end->error.empty()) return {};
    const bool may_be_id = prompts.form == PromptForm::ids && (end->status == kBadRequest || end->status == kUnprocessable);
    return error("E_HTTP", "the server refused a first request: {}{}", end->error,
                 may_be_id ? fmt::format(" (its prompt was token id {}: see --vocabulary and --prompt-form)", prompts.vocabulary - 1) : "");
  }
  return stop.load() ? Status() : error("E_RUN", "no answer to a first request for {:.0f} seconds", seconds(kProbeWait));
}

Result<OnlineRun> run_online(TrafficTarget& target, const Trace& trace, const PromptOptions& prompts, const Clock& clock,
                             const std::function<void(std::uint64_t, std::uint64_t)>& progress, const std::atomic<bool>& stop) {
  return OpenLoop(target, trace, prompts, clock).run(progress, stop);
}

}  // namespace slora::bench
