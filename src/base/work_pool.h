#pragma once
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "base/queue.h"

namespace slora {

// A fixed number of threads that run jobs in the order they came, so that slow work (parsing, templates, reading files) holds up no
// other thread. The queue is bounded: try_run refuses when it is full. try_run may be called from any thread. A job that waits for an
// answer catches its own exceptions; what leaves a job is logged, and its thread goes on.
class WorkPool {
 public:
  WorkPool(std::size_t thread_count, std::size_t waiting_max);
  // Waits for the jobs that are running; queued ones are destroyed, without being run, on the calling thread.
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  // False when `waiting_max` jobs are queued already, or the pool is being destroyed.
  [[nodiscard]] bool try_run(std::function<void()> job) { return jobs_.try_push(std::move(job)); }

 private:
  void join();

  BoundedQueue<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
};

}  // namespace slora
