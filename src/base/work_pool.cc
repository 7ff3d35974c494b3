#include "base/work_pool.h"

#include <optional>

#include "base/caught.h"

namespace slora {
namespace {

void run(const std::function<void()>& job) {
  try {
    job();
  } catch (...) {
    log_exception("a job of a worker thread failed");
  }
}

}  // namespace

WorkPool::WorkPool(std::size_t thread_count, std::size_t waiting_max) : jobs_(waiting_max) {
  try {
    for (std::size_t i = 0; i < thread_count; ++i) {
      threads_.emplace_back([this] {
        while (const std::optional<std::function<void()>> job = jobs_.pop()) run(*job);
      });
    }
  } catch (...) {  // no further thread, or no memory: those that run must be joined before they are destroyed
    join();
    throw;
  }
}

WorkPool::~WorkPool() { join(); }

void WorkPool::join() {
  jobs_.close();
  std::vector<std::function<void()>> dropped;
  jobs_.drain_into(dropped);
  dropped.clear();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace slora
