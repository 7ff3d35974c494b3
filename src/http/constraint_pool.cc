#include "http/constraint_pool.h"

#include <optional>
#include <utility>

#include "base/caught.h"

namespace slora {
namespace {

constexpr std::size_t kThreads = 2;  // as many as compile at a time
constexpr std::size_t kWaitingMax = 256, kWaitingOfClientMax = 64;

}  // namespace

ConstraintPool::ConstraintPool() : jobs_(kWaitingMax, kWaitingOfClientMax) {
  const auto run = [this] {
    for (;;) {
      try {
        const std::optional<std::function<void()>> job = jobs_.pop();
        if (!job) return;
        (*job)();
      } catch (...) {
        log_exception("a job that compiles a form failed");
      }
    }
  };
  try {
    for (std::size_t i = 0; i < kThreads; ++i) threads_.emplace_back(run);
  } catch (...) {  // no further thread: those that run must be joined before they are destroyed
    stop();
    throw;
  }
}

ConstraintPool::~ConstraintPool() { stop(); }

void ConstraintPool::stop() {
  std::vector<std::function<void()>> dropped;
  jobs_.close();
  jobs_.drain_into(dropped);
  dropped.clear();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace slora
