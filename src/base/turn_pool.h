#pragma once
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "base/turn_queue.h"

namespace slora {

// Threads that run jobs of clients. Clients take turns, and none fills the queue alone. Any thread may give it work. An exception that a
// job throws is logged, and its thread goes on.
class TurnPool {
 public:
  struct Limits {
    std::size_t thread_count = 1, waiting_max = 0, waiting_of_client_max = 0;
  };

  // `on_start`: what each thread does first, if anything.
  explicit TurnPool(const Limits& limits, std::function<void()> on_start = {});
  ~TurnPool() { stop(); }
  TurnPool(const TurnPool&) = delete;
  TurnPool& operator=(const TurnPool&) = delete;

  // False when too much waits, or after stop(); the job is as before then.
  [[nodiscard]] bool try_run(ClientId client, std::function<void()>&& job) { return jobs_.try_push(client, std::move(job)); }
  // Waits for the jobs that are running; queued ones are destroyed, without being run, on the calling thread.
  void stop();

 private:
  void run();

  const std::function<void()> on_start_;
  TurnQueue<ClientId, std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
};

}  // namespace slora
