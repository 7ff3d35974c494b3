#include "base/hang_watch.h"

#include <algorithm>
#include <utility>

namespace slora {

void HangWatch::add(std::uint64_t id, std::uint64_t lane, std::shared_ptr<JobProgress> progress, Timestamp now) {
  lane_active_at_.try_emplace(lane, now);
  jobs_.push_back({id, lane, std::move(progress), false, 0, now});
}

void HangWatch::remove(std::uint64_t id, Timestamp now) {
  const auto job = std::ranges::find(jobs_, id, &Job::id);
  if (job == jobs_.end()) return;
  lane_active_at_[job->lane] = now;
  jobs_.erase(job);
  if (jobs_.empty()) lane_active_at_.clear();
}

void HangWatch::look(Timestamp now, const GiveUp& give_up) {
  constexpr Timestamp look_interval = std::chrono::milliseconds(100);
  if (jobs_.empty() || now - looked_at_ < std::min(look_interval, idle_time_max_)) return;
  looked_at_ = now;
  for (Job& job : jobs_) note_progress(job, now);
  // One at a time, because `give_up` may throw: those that it has given up by then are forgotten.
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    if (hangs(*job, now) && give_up(job->id, *job->progress))
      job = jobs_.erase(job);
    else
      ++job;
  }
}

void HangWatch::note_progress(Job& job, Timestamp now) {
  const bool is_running = job.progress->is_running;
  const std::uint64_t pass_count = job.progress->gate.pass_count();
  if (is_running == job.was_running && pass_count == job.pass_count && !job.progress->gate.is_computing()) return;
  job.was_running = is_running;
  job.pass_count = pass_count;
  job.active_at = lane_active_at_[job.lane] = now;
}

// A job that waits hangs when the running ones of its lane do.
bool HangWatch::hangs(const Job& job, Timestamp now) const {
  const Timestamp active_at = job.was_running ? job.active_at : std::max(job.active_at, lane_active_at_.at(job.lane));
  return now - active_at > idle_time_max_;
}

}  // namespace slora
