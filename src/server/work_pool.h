#pragma once
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "base/queue.h"

namespace slora {

// A few threads for work that would hold up the I/O thread: parsing, templates, tokenising. Bounded: a full pool is an answer.
// Owned by the server; try_run from any thread.
class WorkPool {
 public:
  WorkPool(std::size_t thread_count, std::size_t waiting_max);
  // Waits for what runs; what is queued is destroyed on the calling thread.
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  // False when too much waits already.
  [[nodiscard]] bool try_run(std::function<void()> job) { return jobs_.try_push(std::move(job)); }

 private:
  BoundedQueue<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
};

}  // namespace slora
