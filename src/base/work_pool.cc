#include "base/work_pool.h"

#include <optional>

namespace slora {

WorkPool::WorkPool(std::size_t thread_count, std::size_t waiting_max) : jobs_(waiting_max) {
  for (std::size_t i = 0; i < thread_count; ++i) {
    threads_.emplace_back([this] {
      while (const std::optional<std::function<void()>> job = jobs_.pop()) (*job)();
    });
  }
}

WorkPool::~WorkPool() {
  jobs_.close();
  std::vector<std::function<void()>> dropped;
  jobs_.drain_into(dropped);
  dropped.clear();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace slora
