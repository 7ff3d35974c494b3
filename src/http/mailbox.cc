#include "http/mailbox.h"

#include <chrono>
#include <new>
#include <thread>
#include <utility>

#include "base/caught.h"

namespace slora {
namespace {

constexpr std::chrono::milliseconds kPauseWithoutMemory(5);

}  // namespace

Mailbox::Mailbox(std::size_t usual_count) {
  waiting_.reserve(usual_count);
  running_.reserve(usual_count);
}

bool Mailbox::push(std::function<void()> work) {
  for (;;) {
    try {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(work));  // moves only when there is space
      return waiting_.size() == 1;
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(kPauseWithoutMemory);
    }
  }
}

void Mailbox::run_all() {
  {
    const std::lock_guard lock(mutex_);
    std::swap(waiting_, running_);
  }
  for (std::function<void()>& work : running_) {
    try {
      work();
    } catch (...) {
      log_exception("work for a request failed");
    }
    work = {};
  }
  running_.clear();
}

}  // namespace slora
