#include "http/engine_guard.h"

#include <cstdlib>
#include <thread>

#include "base/log.h"

namespace slora {
namespace {

constexpr std::chrono::milliseconds kLookInterval(50);
constexpr std::chrono::milliseconds kErrorTime(500);  // for the errors to reach their clients
constexpr int kTroubleRetrySeconds = 10;
constexpr int kFailedExitCode = 1;

}  // namespace

EngineGuard::EngineGuard(const Parts& parts, const EngineGuardOptions& options)
    : parts_(parts), options_(options), watch_([&engine = parts.engine] { return engine.progress(); }, options.silence_max) {
  parts_.http.post_after(kLookInterval, [this] { look(); });
}

RetryEstimate::TimePoint EngineGuard::retry_time(const RefusedRequest& refused, RetryEstimate::TimePoint now) {
  constexpr int too_many_requests = 429;
  if (trouble_) return now + std::chrono::seconds(kTroubleRetrySeconds);
  if (refused.status == too_many_requests) return retry_.appoint(now, refused.tenant, refused.given_before);
  return now + std::chrono::seconds(retry_.seconds());
}

std::optional<Error> EngineGuard::find_trouble() const {
  if (std::optional<Error> failure = parts_.engine.failure()) return failure;
  if (!watch_.is_stalled()) return std::nullopt;
  return Error{"engine_stalled", "The engine hangs: for a while it has not computed anything.", {}};
}

void EngineGuard::look() {
  parts_.http.post_after(kLookInterval, [this] { look(); });  // first, for the rest may throw when memory runs out
  const EngineWatch::TimePoint now = std::chrono::steady_clock::now();
  const auto timestamp = std::chrono::duration_cast<Timestamp>(now.time_since_epoch());
  parts_.generation.end_overdue(timestamp);
  parts_.jobs.end_overdue(timestamp);
  retry_.look(now, parts_.jobs.work());
  watch_.look(now);
  const bool was_in_trouble = trouble_.has_value();
  trouble_ = find_trouble();
  if (was_in_trouble != trouble_.has_value()) {
    parts_.status.set_trouble(trouble_);
    parts_.generation.set_trouble(trouble_);
    if (trouble_) log_error("{} All requests are ended with the error {}.", trouble_->message, trouble_->code);
    if (!trouble_) log_info("the engine works again");
  }
  if (trouble_) {
    parts_.generation.fail_preparing(*trouble_);
    parts_.jobs.fail_all(*trouble_);
    parts_.info.fail_flushes(*trouble_);
    const bool must_end = parts_.engine.failure() || options_.on_stall == OnStall::exit;
    if (must_end && !std::exchange(is_ending_, true)) begin_exit();
  }
}

// Destructors would wait for the engine's thread.
void EngineGuard::begin_exit() {
  parts_.http.begin_drain();
  parts_.http.post_after(kErrorTime, [] {
    log_error("the process ends, with exit code {}", kFailedExitCode);
    std::_Exit(kFailedExitCode);
  });
}

void end_process_after(std::chrono::seconds time, int exit_code) {
  std::thread([time, exit_code] {
    std::this_thread::sleep_for(time);
    log_error("the process ends without waiting any longer for its threads");
    std::_Exit(exit_code);
  }).detach();
}

}  // namespace slora
