#pragma once
#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

namespace slora {

// Work that other threads hand to the one that runs it. Handing over never fails: memory for the usual number is there from the start, and
// without memory for more the caller waits until there is some, for what is handed over is what somebody waits for. Bounded by its users.
class Mailbox {
 public:
  explicit Mailbox(std::size_t usual_count);

  // Any thread. True when there was nothing, so that the other thread should be woken.
  bool push(std::function<void()> work);
  // Runs what was handed over until now, in order. An exception ends that piece of work only, and is logged. One thread.
  void run_all();

 private:
  std::mutex mutex_;
  std::vector<std::function<void()>> waiting_;  // guarded by mutex_
  std::vector<std::function<void()>> running_;  // of run_all()
};

}  // namespace slora
