#pragma once
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "base/turn_queue.h"

namespace slora {

// The threads that wait for forms while other processes compile them. Clients take turns, and none fills the queue alone. Any thread may
// give it work.
class ConstraintPool {
 public:
  ConstraintPool();
  // Waits for the jobs that are running; queued ones are destroyed, without being run, on the calling thread.
  ~ConstraintPool();
  ConstraintPool(const ConstraintPool&) = delete;
  ConstraintPool& operator=(const ConstraintPool&) = delete;

  // False when too much waits; the job is as before then.
  [[nodiscard]] bool try_run(ClientId client, std::function<void()>&& job) { return jobs_.try_push(client, std::move(job)); }

 private:
  void stop();

  TurnQueue<ClientId, std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
};

}  // namespace slora
