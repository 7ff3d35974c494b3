#pragma once
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "engine/token_mask.h"
#include "metrics/metrics.h"

namespace slora {

// Calls the constraints of sequences: computes token masks while the model computes, and gives constraints the tokens that were drawn. A
// thread whose constraint takes long is replaced by another, and goes on at the lowest priority until the call returns, so that one
// answer's form delays neither other masks nor the model. While masks of several clients are pending, none has more threads than there are
// when none is slow, its replaced ones included, so that one client's slow forms leave the threads to the others. One that is alone has up
// to half of the slow ones, as it may be a gateway with many users. Owned by the engine's loop; the public functions are called by its
// thread, except where they say so.
class MaskThreads {
 public:
  struct Options {
    std::size_t thread_count = 2;                     // and as many of one client at most, unless it is alone
    std::size_t slow_threads_max = 16;                // that are replaced and have not returned yet; beyond, masks wait
    Timestamp slow = std::chrono::milliseconds(100);  // when a thread is replaced
    Timestamp compute_time_max = std::chrono::seconds(2);
    Timestamp wait_time_max = std::chrono::seconds(10);  // for a thread
  };

  // `wake`: called, on a thread of these, when a mask that is watched is no longer pending.
  MaskThreads(const Options& options, std::function<void()> wake, Histogram& fill_seconds)
      : options_(options), wake_(std::move(wake)), fill_seconds_(fill_seconds) {}
  // Waits for calls of constraints that have not returned.
  ~MaskThreads();
  MaskThreads(const MaskThreads&) = delete;
  MaskThreads& operator=(const MaskThreads&) = delete;

  // Starts the threads, if they do not run yet. Any thread; may throw for lack of threads or memory.
  void start();
  // Has the mask computed: known or failed, once it is no longer pending. Requires: not pending; start() was called.
  void ask(std::shared_ptr<TokenMask> mask) { add(std::move(mask), -1); }
  // Gives its constraint the token that was drawn: unknown, complete or failed, once it is no longer pending. Requires: as ask(). Nothing
  // bounds how long one call of a constraint takes, not even after calls that were quick.
  void accept(std::shared_ptr<TokenMask> mask, TokenId token) { add(std::move(mask), token); }
  // Destroys the mask of a sequence that has ended, which may take time as well. Requires: nobody else has it but these threads.
  void drop(std::shared_ptr<TokenMask> mask);
  // Waits until none of these is pending, at most for `limit`.
  void wait(std::span<TokenMask* const> masks, Timestamp limit);
  // Has wake() called when the mask, which may be pending, is no longer.
  void watch(TokenMask& mask);
  // Whether a mask has been pending for so long that its answer has to end.
  [[nodiscard]] bool has_overrun(const TokenMask& mask, Timestamp now);
  // To be called from time to time. Takes no lock when nothing is pending.
  void replace_slow_threads(Timestamp now);
  // Waits until no thread computes; false when `limit` has passed before. Any thread.
  [[nodiscard]] bool wait_until_idle(std::chrono::milliseconds limit);

 private:
  struct Worker {
    std::thread thread;
    pid_t id = 0;
    Timestamp since{};     // when it began to compute a mask; zero: it does not
    bool is_slow = false;  // it was replaced, and ends when its call has returned
    bool has_ended = false;
  };

  // A client whose masks threads compute, and how many do.
  struct Busy {
    ClientId client;
    std::size_t thread_count;
  };

  void add(std::shared_ptr<TokenMask> mask, TokenId token);
  void run(Worker& mine);
  [[nodiscard]] std::size_t threads_of(ClientId client) const;
  void count_thread(ClientId client);
  void discount_thread(ClientId client);
  [[nodiscard]] std::shared_ptr<TokenMask> take_next();
  void compute(Worker& mine, std::shared_ptr<TokenMask> mask, std::unique_lock<std::mutex>& lock);
  void add_worker();

  const Options options_;
  const std::function<void()> wake_;
  Histogram& fill_seconds_;
  std::atomic<std::size_t> pending_count_{0};
  std::mutex mutex_;  // of what follows
  std::condition_variable has_work_, is_done_;
  std::shared_ptr<TokenMask> first_;  // that waits for a thread
  TokenMask* last_ = nullptr;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Busy> busy_;  // with capacity for a client of each thread
  bool is_stopping_ = false;
};

}  // namespace slora
