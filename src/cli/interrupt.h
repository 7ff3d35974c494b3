#pragma once
#include <atomic>
#include <string>
#include <thread>

namespace slora {

inline constexpr int kInterrupted = 130;  // exit code, as shells have it

// Turns the first SIGINT or SIGTERM into a request to stop, so that scratch folders are removed; the second ends the process at once.
// Created before other threads, because it blocks the signals for them. Has a thread of its own.
class Interrupt {
 public:
  // `what_follows`: what happens after the first signal, for the message to the user.
  explicit Interrupt(std::string what_follows);
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Becomes true with the first signal.
  [[nodiscard]] const std::atomic<bool>& requested() const { return requested_; }

 private:
  void wait(const std::stop_token& stop);

  const std::string what_follows_;
  std::atomic<bool> requested_ = false;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace slora
