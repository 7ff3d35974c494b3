#include "base/turn_pool.h"

#include <optional>
#include <utility>

#include "base/caught.h"

namespace slora {

TurnPool::TurnPool(const Limits& limits, std::function<void()> on_start)
    : on_start_(std::move(on_start)), jobs_(limits.waiting_max, limits.waiting_of_client_max) {
  try {
    for (std::size_t i = 0; i < limits.thread_count; ++i) threads_.emplace_back([this] { run(); });
  } catch (...) {  // no further thread, or no memory: those that run must be joined before they are destroyed
    stop();
    throw;
  }
}

void TurnPool::run() {
  if (on_start_) on_start_();
  for (;;) {
    try {
      const std::optional<std::function<void()>> job = jobs_.pop();
      if (!job) return;
      (*job)();
    } catch (...) {
      log_exception("a job of a client's request failed");
    }
  }
}

void TurnPool::stop() {
  std::vector<std::function<void()>> dropped;
  jobs_.close();
  jobs_.drain_into(dropped);
  dropped.clear();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace slora
