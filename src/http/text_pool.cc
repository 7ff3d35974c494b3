#include "http/text_pool.h"

#include <sys/resource.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "base/caught.h"

namespace slora {
namespace {

constexpr std::size_t kShortWaitingMax = 1024, kShortWaitingOfClientMax = 512;
constexpr std::size_t kLongWaitingMax = 256, kLongWaitingOfClientMax = 64;  // each holds a body of up to some megabytes
constexpr int kLongNiceness = 10;

template <class Queue>
void run_jobs(Queue& queue) {
  for (;;) {
    try {
      const std::optional<std::function<void()>> job = queue.pop();
      if (!job) return;
      (*job)();
    } catch (...) {
      log_exception("a job of a text thread failed");
    }
  }
}

}  // namespace

TextPool::TextPool(std::size_t thread_count)
    : short_(kShortWaitingMax, kShortWaitingOfClientMax), long_(kLongWaitingMax, kLongWaitingOfClientMax) {
  try {
    for (std::size_t i = 0; i < thread_count; ++i) threads_.emplace_back([this] { run_jobs(short_); });
    threads_.emplace_back([this] {
      setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kLongNiceness);  // if it is refused, long bodies take their full share of time
      run_jobs(long_);
    });
  } catch (...) {  // no further thread, or no memory: those that run must be joined before they are destroyed
    stop();
    throw;
  }
}

bool TextPool::try_run(ClientId client, std::size_t body_bytes, std::function<void()> job) {
  return (body_bytes <= kShortBytesMax ? short_ : long_).try_push(client, std::move(job));
}

void TextPool::stop() {
  std::vector<std::function<void()>> dropped;
  for (Queue* queue : {&short_, &long_}) {
    queue->close();
    queue->drain_into(dropped);
  }
  dropped.clear();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace slora
