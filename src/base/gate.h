#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>

namespace slora {

// Lets one thread do work in stretches until another thread closes the gate: afterwards no stretch begins and none is running. So memory
// that a hanging thread would write into can be taken back. Any thread.
class Gate {
 public:
  // Runs `work` unless the gate is closed; returns whether it ran.
  template <class Work>
  [[nodiscard]] bool pass(Work work) {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return false;
    work();
    pass_count_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  // Runs `work` that waits for no file, however long it takes: it counts as going on, and holds up no one who closes the gate. So it must
  // not write into what is taken back then.
  template <class Work>
  void compute(Work work) {
    const Computing computing(*this);
    work();
  }
  [[nodiscard]] bool is_computing() const { return computing_count_.load(std::memory_order_relaxed) > 0; }

  // Waits for the stretch that is running. False when the gate was closed before.
  [[nodiscard]] bool close() {
    const std::lock_guard lock(mutex_);
    return !is_closed_.exchange(true);
  }
  // Waits for nothing: once it is true, no stretch is running.
  [[nodiscard]] bool is_closed() const { return is_closed_; }
  // Grows as long as the work goes on.
  [[nodiscard]] std::uint64_t pass_count() const { return pass_count_.load(std::memory_order_relaxed); }

 private:
  struct Computing {
    explicit Computing(Gate& of) : gate(of) { gate.computing_count_.fetch_add(1, std::memory_order_relaxed); }
    ~Computing() { gate.computing_count_.fetch_sub(1, std::memory_order_relaxed); }
    Computing(const Computing&) = delete;
    Computing& operator=(const Computing&) = delete;

    Gate& gate;
  };

  std::mutex mutex_;
  std::atomic<bool> is_closed_{false};  // written under mutex_
  std::atomic<std::uint64_t> pass_count_{0};
  std::atomic<int> computing_count_{0};
};

}  // namespace slora
