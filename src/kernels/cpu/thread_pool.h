#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <type_traits>
#include <vector>

namespace slora::cpu {

// Threads that share the loops of one calling thread. The caller works too, and a loop does not wait for workers that have not woken up in
// time. Between loops workers spin for about 50 microseconds and then sleep. Owned by a backend, called by its engine thread; one loop at a
// time.
class ThreadPool {
 public:
  // Requires: threads >= 1; the caller counts as one.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int thread_count() const { return static_cast<int>(workers_.size()) + 1; }

  // Changes with every few pieces of work that are begun: who finds it unchanged for long knows that the threads hang. Any thread.
  [[nodiscard]] std::uint64_t progress() const;

  // Calls fn(index, worker) once for every index in [0, count), in any order, on any of the threads; worker is in
  // [0, thread_count()). Returns when all calls have returned; throws the first exception of those that threw.
  template <class Function>
  void parallel_for(std::int64_t count, Function&& fn) {
    parallel_ranges(count, 1, [&](std::int64_t begin, std::int64_t, int worker) { fn(begin, worker); });
  }

  // Calls fn(row) for every row; on several threads if all rows together cost more than waking one. `row_cost`: elements read or written
  // per row.
  template <class Function>
  void parallel_rows(std::int64_t rows, std::int64_t row_cost, Function&& fn) {
    constexpr std::int64_t kItemCost = 8192;  // elements of a work item: a few microseconds
    const std::int64_t item_rows = std::max<std::int64_t>(1, kItemCost / std::max<std::int64_t>(1, row_cost));
    parallel_for((rows + item_rows - 1) / item_rows, [&](std::int64_t item, int) {
      const std::int64_t end = std::min(rows, (item + 1) * item_rows);
      for (std::int64_t row = item * item_rows; row < end; ++row) fn(row);
    });
  }

  // As parallel_for, with runs of indices: calls fn(begin, end, worker) with runs of at most `run_max` that together cover [0, count). Runs
  // get shorter towards the end, so that no thread waits long for the last one.
  template <class Function>
  void parallel_ranges(std::int64_t count, std::int64_t run_max, Function&& fn) {
    using Plain = std::remove_reference_t<Function>;
    if (count <= run_max || workers_.empty()) {
      for (std::int64_t begin = 0; begin < count; begin += run_max) {
        runs_of_caller_.store(runs_of_caller_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // nobody else writes it
        fn(begin, begin + run_max < count ? begin + run_max : count, 0);
      }
      return;
    }
    run({[](void* context, std::int64_t begin, std::int64_t end, int worker) { (*static_cast<Plain*>(context))(begin, end, worker); },
         const_cast<void*>(static_cast<const void*>(&fn)), count, run_max});
  }

 private:
  struct Loop {
    void (*call)(void* context, std::int64_t begin, std::int64_t end, int worker);
    void* context;
    std::int64_t count;
    std::int64_t run_max;
  };

  // The contiguous part of the indices that one thread starts with, so that it goes through memory in order.
  struct alignas(64) Share {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;  // written while no worker has joined
  };

  void stop();
  void run(Loop loop);
  void work(int worker);
  void run_shares(int worker);
  void take_share(Share& share, const Loop& loop, int worker);
  [[nodiscard]] std::uint32_t wait_for_loop(std::uint32_t seen) const;

  Loop loop_{};                                // written while no worker has joined
  std::vector<Share> shares_;                  // one per thread; a thread that has finished its own takes from the next
  std::atomic<std::uint32_t> loop_number_{0};  // incremented for each loop; sleeping workers wait for a change
  // Lowest bit: the loop may be joined. The other bits: how many workers have joined it.
  std::atomic<std::uint64_t> joined_{0};
  std::atomic<std::uint64_t> runs_of_caller_{0};  // that it made without workers
  std::atomic<bool> stopping_{false};
  std::atomic<bool> has_failed_{false};
  std::exception_ptr failure_;  // written by the thread that set has_failed_, read when no thread works on the loop
  std::vector<std::thread> workers_;
};

// How many threads are worth running: the cores that this process may use according to affinity mask and cgroup quota; at least 1.
[[nodiscard]] int usable_core_count();

}  // namespace slora::cpu
