#include "base/work_lanes.h"

#include <algorithm>
#include <utility>

#include "base/caught.h"

namespace slora {

WorkLanes::~WorkLanes() {
  std::vector<Job> dropped;
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    for (auto& [key, lane] : lanes_) {
      for (Job& job : lane.waiting) dropped.push_back(std::move(job));
      lane.waiting.clear();
    }
    waiting_count_ = 0;
  }
  dropped.clear();
  ready_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool WorkLanes::try_run(std::uint64_t lane, Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_ || waiting_count_ >= limits_.waiting_max) return false;
    const auto at = lanes_.try_emplace(lane).first;
    try {
      at->second.waiting.push_back(std::move(job));
    } catch (...) {
      if (at->second.running_count == 0 && at->second.waiting.empty()) lanes_.erase(at);
      throw;
    }
    ++waiting_count_;
    // Idle threads that were notified and do not run yet are still counted, and so are the jobs that they will take.
    if (runnable_count() > idle_count_ && threads_.size() < limits_.threads_max && !try_start_thread() && threads_.empty()) {
      at->second.waiting.pop_back();  // nobody would take it
      --waiting_count_;
      if (at->second.running_count == 0 && at->second.waiting.empty()) lanes_.erase(at);
      return false;
    }
  }
  ready_.notify_one();
  return true;
}

bool WorkLanes::wait_until_idle(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, limit, [&] { return lanes_.empty(); });
}

void WorkLanes::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto found = next_lane();
    if (found == lanes_.end()) {
      if (is_closed_) return;
      ++idle_count_;
      ready_.wait(lock);
      --idle_count_;
      continue;
    }
    const std::uint64_t key = found->first;
    Job job = std::move(found->second.waiting.front());
    found->second.waiting.pop_front();
    ++found->second.running_count;
    --waiting_count_;
    latest_lane_ = key;
    lock.unlock();
    try {
      job();
    } catch (...) {
      log_exception("a job that looks at or reads an adapter failed");
    }
    job = nullptr;  // what it holds is released outside of the lock
    lock.lock();
    const auto lane = lanes_.find(key);
    --lane->second.running_count;
    if (lane->second.waiting.empty() && lane->second.running_count == 0) lanes_.erase(lane);
    if (lanes_.empty()) idle_.notify_all();
  }
}

std::size_t WorkLanes::runnable_count() const {
  std::size_t count = 0;
  for (const auto& [key, lane] : lanes_) count += std::min(lane.waiting.size(), limits_.threads_per_lane - lane.running_count);
  return count;
}

bool WorkLanes::try_start_thread() {
  try {
    threads_.emplace_back([this] { work(); });
    return true;
  } catch (...) {  // those that run take the job
    return false;
  }
}

// The first lane after the latest one that has a job to run.
WorkLanes::Lanes::iterator WorkLanes::next_lane() {
  for (auto at = lanes_.upper_bound(latest_lane_); at != lanes_.end(); ++at) {
    if (can_run(at->second)) return at;
  }
  for (auto at = lanes_.begin(); at != lanes_.upper_bound(latest_lane_); ++at) {
    if (can_run(at->second)) return at;
  }
  return lanes_.end();
}

}  // namespace slora
