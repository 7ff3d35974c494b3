#include "http/memory_guard.h"

#include <utility>

#include "base/log.h"

namespace slora {
namespace {

constexpr std::chrono::milliseconds kLookInterval(100);
constexpr std::chrono::seconds kShortTime(1);

}  // namespace

MemoryGuard::MemoryGuard(HttpServer& http, GenerationRoutes& generation) : http_(http), generation_(generation) {
  http_.post_after(kLookInterval, [this] { look(); });
}

void MemoryGuard::look() {
  http_.post_after(kLookInterval, [this] { look(); });  // first, for the rest may throw when memory runs out
  const bool is_whole = reserve_.try_refill();
  const auto now = std::chrono::steady_clock::now();
  const std::uint64_t failure_count = reserve_.failure_count();
  if (std::exchange(failure_count_, failure_count) != failure_count) short_until_ = now + kShortTime;
  const bool is_short = !is_whole && now < short_until_;
  if (is_short == is_short_) return;
  is_short_ = is_short;
  if (is_short) {
    log_error("the system gives this process no more memory: new requests are refused");
    generation_.set_shortage(Error{"out_of_memory", "The server has no memory for new requests; try again soon.", {}});
  } else {
    log_info("there is memory again: new requests are served");
    generation_.set_shortage(std::nullopt);
  }
}

}  // namespace slora
