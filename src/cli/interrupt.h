#pragma once
#include <atomic>
#include <string>
#include <thread>

namespace slora {

inline constexpr int kInterrupted = 130;  // exit code, as shells have it

// Makes Ctrl-C and SIGTERM a wish to stop rather than the end of the process, so that what was written to scratch folders goes; the second
// one ends it at once. To be made before other threads, which it keeps the signals from. Has a thread of its own.
class Interrupt {
 public:
  // `what_follows`: what the first signal leads to, as the user is told.
  explicit Interrupt(std::string what_follows);
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Becomes true with the first signal.
  [[nodiscard]] const std::atomic<bool>& wished() const { return wished_; }

 private:
  void wait(const std::stop_token& stop);

  const std::string what_follows_;
  std::atomic<bool> wished_ = false;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace slora
