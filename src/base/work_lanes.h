#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace slora {

struct WorkLaneLimits {
  std::size_t threads_per_lane = 1;  // jobs of a lane that run at once, at most
  std::size_t threads_max = 1;       // of all lanes
  std::size_t waiting_max = 1;       // jobs that wait, of all lanes
};

// Runs jobs on threads of its own, in lanes: jobs of one lane that hang, as reads of a dead network disk do, hold up the other lanes only
// once they hold all threads. Threads are started as they are needed and kept. Any thread may call try_run.
class WorkLanes {
 public:
  using Job = std::function<void()>;

  explicit WorkLanes(const WorkLaneLimits& limits) : limits_(limits) {}
  // Waits for the jobs that are running; queued ones are destroyed, without being run, on the calling thread.
  ~WorkLanes();
  WorkLanes(const WorkLanes&) = delete;
  WorkLanes& operator=(const WorkLanes&) = delete;

  // Queues a job. False when too many wait already, or the lanes are being destroyed.
  [[nodiscard]] bool try_run(std::uint64_t lane, Job job);
  // Waits until no job waits or runs; false when `limit` has passed before.
  [[nodiscard]] bool wait_until_idle(std::chrono::milliseconds limit);

 private:
  struct Lane {
    std::deque<Job> waiting;
    std::size_t running_count = 0;
  };
  using Lanes = std::map<std::uint64_t, Lane>;

  void work();
  // Jobs that could run now if there were a thread for each.
  [[nodiscard]] std::size_t runnable_count() const;
  [[nodiscard]] bool try_start_thread();
  // Require: mutex_ is held.
  [[nodiscard]] bool can_run(const Lane& lane) const { return !lane.waiting.empty() && lane.running_count < limits_.threads_per_lane; }
  [[nodiscard]] Lanes::iterator next_lane();

  const WorkLaneLimits limits_;
  std::mutex mutex_;
  std::condition_variable ready_, idle_;
  Lanes lanes_;                    // with jobs that wait or run; guarded by mutex_, as all below
  std::uint64_t latest_lane_ = 0;  // whose job was started last: the lanes take turns
  std::size_t waiting_count_ = 0;  // jobs
  std::size_t idle_count_ = 0;     // threads that wait for a job
  bool is_closed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace slora
