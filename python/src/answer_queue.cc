#include "answer_queue.h"

#include <utility>

namespace slora::python {

void AnswerQueue::push(AnswerUpdate update) {
  const std::lock_guard lock(mutex_);
  if (!is_closed_) updates_.push_back(std::move(update));
}

void AnswerQueue::announce() {
  {
    const std::lock_guard lock(mutex_);
    if (updates_.empty() || std::exchange(is_notified_, true)) return;
  }
  ready_.notify_all();
  if (notify_) notify_();
}

std::vector<AnswerUpdate> AnswerQueue::take() {
  const std::lock_guard lock(mutex_);
  is_notified_ = false;
  return std::exchange(updates_, {});
}

std::vector<AnswerUpdate> AnswerQueue::wait(std::chrono::duration<double> limit) {
  {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, limit, [this] { return is_notified_ || is_closed_; });
  }
  return take();
}

void AnswerQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    updates_.clear();
  }
  ready_.notify_all();
}

bool AnswerQueue::is_closed() const {
  const std::lock_guard lock(mutex_);
  return is_closed_;
}

}  // namespace slora::python
