#include "kernels/cpu/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "base/cgroup.h"
#include "base/check.h"

namespace slora::cpu {
namespace {

constexpr int kSpins = 16000;      // about 50 microseconds: longer than the gaps between the loops of a step
constexpr int kSpinsPerPause = 8;  // not every time: hypervisors may deschedule a thread that executes many pauses in a row
constexpr std::uint64_t kOpen = 1;
constexpr std::uint64_t kWorkerInside = 2;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

int usable_core_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
  return std::max(1, std::min(cores, Cgroups().core_count().value_or(cores)));
}

ThreadPool::ThreadPool(int threads) : shares_(static_cast<std::size_t>(threads)) {
  check(threads >= 1, "expected at least one thread, the caller's");
  try {
    for (int worker = 1; worker < threads; ++worker) {
      workers_.emplace_back([this, worker] { work(worker); });
    }
  } catch (...) {  // no further thread: those that run must be joined before they are destroyed
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  loop_number_.fetch_add(1, std::memory_order_release);
  loop_number_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

std::uint64_t ThreadPool::progress() const {
  std::uint64_t sum = runs_of_caller_.load(std::memory_order_relaxed);
  for (const Share& share : shares_) sum += static_cast<std::uint64_t>(share.next.load(std::memory_order_relaxed));
  return sum + (std::uint64_t{loop_number_.load(std::memory_order_relaxed)} << 32);
}

void ThreadPool::run(Loop loop) {
  loop_ = loop;
  const auto threads = static_cast<std::int64_t>(shares_.size());
  for (std::int64_t i = 0; i < threads; ++i) {
    Share& share = shares_[static_cast<std::size_t>(i)];
    share.next.store(loop.count * i / threads, std::memory_order_relaxed);
    share.end = loop.count * (i + 1) / threads;
  }
  joined_.store(kOpen, std::memory_order_release);
  loop_number_.fetch_add(1, std::memory_order_release);
  loop_number_.notify_all();
  run_shares(0);
  // No further worker may join; those that have joined are finishing their last call.
  std::uint64_t inside = joined_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  for (int spins = 0; inside != 0; inside = joined_.load(std::memory_order_acquire)) {
    if (++spins < kSpins) {
      if (spins % kSpinsPerPause == 0) pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
  if (has_failed_.exchange(false)) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::run_shares(int worker) {
  const Loop loop = loop_;
  for (std::size_t i = 0; i < shares_.size(); ++i) {
    take_share(shares_[(static_cast<std::size_t>(worker) + i) % shares_.size()], loop, worker);
  }
}

// Takes runs of half of what is left, so that the last runs of a share are short.
void ThreadPool::take_share(Share& share, const Loop& loop, int worker) {
  std::int64_t begin = share.next.load(std::memory_order_relaxed);
  while (begin < share.end) {
    const std::int64_t end = begin + std::clamp<std::int64_t>((share.end - begin) / 2, 1, loop.run_max);
    if (!share.next.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
    try {
      loop.call(loop.context, begin, end, worker);
    } catch (...) {  // the caller's, once no thread works on the loop any more
      if (!has_failed_.exchange(true)) failure_ = std::current_exception();
    }
    begin = share.next.load(std::memory_order_relaxed);
  }
}

std::uint32_t ThreadPool::wait_for_loop(std::uint32_t seen) const {
  for (int spins = 0; spins < kSpins; ++spins) {
    const std::uint32_t number = loop_number_.load(std::memory_order_acquire);
    if (number != seen) return number;
    if (spins % kSpinsPerPause == 0) pause_briefly();
  }
  loop_number_.wait(seen, std::memory_order_acquire);
  return loop_number_.load(std::memory_order_acquire);
}

void ThreadPool::work(int worker) {
  std::uint32_t seen = 0;
  while (true) {
    seen = wait_for_loop(seen);
    if (stopping_.load(std::memory_order_relaxed)) return;
    std::uint64_t joined = joined_.load(std::memory_order_acquire);
    bool inside = false;
    while ((joined & kOpen) != 0 && !inside) {
      inside = joined_.compare_exchange_weak(joined, joined + kWorkerInside, std::memory_order_acq_rel, std::memory_order_acquire);
    }
    if (!inside) continue;
    run_shares(worker);
    joined_.fetch_sub(kWorkerInside, std::memory_order_acq_rel);
  }
}

}  // namespace slora::cpu
