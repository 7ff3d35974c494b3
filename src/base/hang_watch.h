#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/gate.h"

namespace slora {

// What a job that may hang shares with the thread that watches it: the job passes the gate as it goes on, and who closes it first, the job
// or the watch, says how the job ended. Any thread.
struct JobProgress {
  Gate gate;
  std::atomic<bool> is_running{false};
};

// Finds the jobs of WorkLanes that hang: that have run for longer than `idle_time_max` without passing their gate and without computing,
// or wait while no other job of their lane goes on. One thread.
class HangWatch {
 public:
  explicit HangWatch(Timestamp idle_time_max) : idle_time_max_(idle_time_max) {}

  // Requires: no other job has this id.
  void add(std::uint64_t id, std::uint64_t lane, std::shared_ptr<JobProgress> progress, Timestamp now);
  // The job has ended, which is a sign of life of its lane. Nothing when it was given up.
  void remove(std::uint64_t id, Timestamp now);
  // Calls `give_up` for each job that hangs, and forgets those for which it returns true, also when it throws for a later one. Does nothing
  // most of the time.
  using GiveUp = std::function<bool(std::uint64_t id, JobProgress& progress)>;
  void look(Timestamp now, const GiveUp& give_up);

  [[nodiscard]] Timestamp idle_time_max() const { return idle_time_max_; }

 private:
  struct Job {
    std::uint64_t id = 0;
    std::uint64_t lane = 0;
    std::shared_ptr<JobProgress> progress;
    bool was_running = false;  // when last looked at, as pass_count
    std::uint64_t pass_count = 0;
    Timestamp active_at;  // when it was last seen to go on
  };
  void note_progress(Job& job, Timestamp now);
  [[nodiscard]] bool hangs(const Job& job, Timestamp now) const;

  const Timestamp idle_time_max_;
  std::vector<Job> jobs_;
  std::map<std::uint64_t, Timestamp> lane_active_at_;  // when a job of the lane was last seen to go on or to end
  Timestamp looked_at_{0};
};

}  // namespace slora
