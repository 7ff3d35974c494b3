#include "engine/mask_threads.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/caught.h"
#include "base/check.h"

namespace slora {
namespace {

constexpr int kLowestPriority = 19;

Timestamp now() { return SteadyClock().now(); }

}  // namespace

MaskThreads::~MaskThreads() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  has_work_.notify_all();
  for (const std::unique_ptr<Worker>& worker : workers_) worker->thread.join();
  while (first_ != nullptr) first_ = std::exchange(first_->next_, nullptr);  // one after the other, not each within the one before
}

void MaskThreads::start() {
  const std::lock_guard lock(mutex_);
  while (workers_.size() < options_.thread_count) add_worker();
}

void MaskThreads::add_worker() {
  busy_.reserve(workers_.size() + 1);
  Worker& added = *workers_.emplace_back(std::make_unique<Worker>());
  try {
    added.thread = std::thread([this, &added] { run(added); });
  } catch (...) {
    workers_.pop_back();
    throw;
  }
  pthread_setname_np(added.thread.native_handle(), "masks");
}

void MaskThreads::drop(std::shared_ptr<TokenMask> mask) {
  {
    const std::lock_guard lock(mutex_);
    if (mask->is_pending()) return mask.reset();  // the thread that computes it has it until then
  }
  ask(std::move(mask));  // computes nothing, as its sequence has ended
}

void MaskThreads::add(std::shared_ptr<TokenMask> mask, TokenId token) {
  check(!mask->is_pending(), "expected a mask that nobody computes");
  pending_count_.fetch_add(1, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    mask->token_ = token;
    mask->since_ = now();
    mask->state_.store(TokenMask::State::asked, std::memory_order_release);
    TokenMask* const added = mask.get();
    (first_ == nullptr ? first_ : last_->next_) = std::move(mask);
    last_ = added;
  }
  has_work_.notify_one();
}

void MaskThreads::wait(std::span<TokenMask* const> masks, Timestamp limit) {
  const auto is_done = [&] { return std::ranges::none_of(masks, [](const TokenMask* mask) { return mask->is_pending(); }); };
  if (is_done()) return;
  std::unique_lock lock(mutex_);
  is_done_.wait_for(lock, limit, is_done);
}

void MaskThreads::watch(TokenMask& mask) {
  const std::lock_guard lock(mutex_);
  mask.is_watched_ = mask.is_pending();
}

bool MaskThreads::has_overrun(const TokenMask& mask, Timestamp now) {
  const std::lock_guard lock(mutex_);
  if (mask.state() == TokenMask::State::asked) return now - mask.since_ > options_.wait_time_max;
  return mask.state() == TokenMask::State::computing && now - mask.since_ > options_.compute_time_max;
}

void MaskThreads::replace_slow_threads(Timestamp now) {
  if (pending_count_.load(std::memory_order_relaxed) == 0) return;
  const std::lock_guard lock(mutex_);
  std::erase_if(workers_, [](const std::unique_ptr<Worker>& worker) {
    if (worker->has_ended) worker->thread.join();
    return worker->has_ended;
  });
  auto slow_count = static_cast<std::size_t>(std::ranges::count_if(workers_, [](const auto& worker) { return worker->is_slow; }));
  const std::size_t worker_count = workers_.size();
  for (std::size_t i = 0; i < worker_count && slow_count < options_.slow_threads_max; ++i) {
    Worker& worker = *workers_[i];
    if (worker.is_slow || worker.since == Timestamp{} || now - worker.since < options_.slow) continue;
    try {
      add_worker();
    } catch (...) {  // its own goes on, and the others wait for it
      log_exception("no thread could be started for masks");
      return;
    }
    worker.is_slow = true;
    ++slow_count;
    (void)setpriority(PRIO_PROCESS, static_cast<id_t>(worker.id), kLowestPriority);
  }
}

bool MaskThreads::wait_until_idle(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return is_done_.wait_for(lock, limit, [&] {
    return std::ranges::all_of(workers_, [](const std::unique_ptr<Worker>& worker) { return worker->since == Timestamp{}; });
  });
}

void MaskThreads::run(Worker& mine) {
  std::unique_lock lock(mutex_);
  mine.id = gettid();
  while (!mine.is_slow) {
    std::shared_ptr<TokenMask> mask;
    has_work_.wait(lock, [&] { return is_stopping_ || (mask = take_next()) != nullptr; });
    if (is_stopping_) break;
    if (first_ != nullptr) has_work_.notify_one();  // what an idle thread could not take before, this may have changed
    compute(mine, std::move(mask), lock);
  }
  mine.has_ended = true;
  has_work_.notify_one();  // its client may have masks that waited for it
}

// The first mask in the queue whose sequence has ended, or whose client has a thread left; else the first of the only client, as long as
// that has threads left for one that is alone; null: there is none. Requires: the lock is held.
std::shared_ptr<TokenMask> MaskThreads::take_next() {
  const std::size_t alone_max = std::max(options_.thread_count, options_.slow_threads_max / 2);
  const bool may_be_alone = busy_.size() == 1 && busy_.front().thread_count < alone_max;
  std::shared_ptr<TokenMask>* found = nullptr;
  TokenMask *before = nullptr, *before_found = nullptr;
  for (std::shared_ptr<TokenMask>* link = &first_; *link != nullptr; before = link->get(), link = &before->next_) {
    const bool is_free = link->use_count() == 1 || threads_of((*link)->client_) < options_.thread_count;
    if (!is_free && (!may_be_alone || found != nullptr)) continue;
    found = link;
    before_found = before;
    if (is_free) break;
  }
  if (found == nullptr) return nullptr;
  std::shared_ptr<TokenMask> taken = std::move(*found);
  *found = std::move(taken->next_);
  if (last_ == taken.get()) last_ = before_found;
  return taken;
}

// Requires of this and of those that follow: the lock is held.
std::size_t MaskThreads::threads_of(ClientId client) const {
  const auto found = std::ranges::find(busy_, client, &Busy::client);
  return found == busy_.end() ? 0 : found->thread_count;
}

void MaskThreads::count_thread(ClientId client) {
  const auto found = std::ranges::find(busy_, client, &Busy::client);
  if (found == busy_.end()) {
    busy_.push_back({client, 1});
  } else {
    ++found->thread_count;
  }
}

void MaskThreads::discount_thread(ClientId client) {
  const auto found = std::ranges::find(busy_, client, &Busy::client);
  check(found != busy_.end(), "expected a client whose thread is counted");
  if (--found->thread_count == 0) busy_.erase(found);
}

void MaskThreads::compute(Worker& mine, std::shared_ptr<TokenMask> mask, std::unique_lock<std::mutex>& lock) {
  const TokenId token = std::exchange(mask->token_, -1);
  mine.since = mask->since_ = now();
  const ClientId client = mask->client_;
  count_thread(client);
  mask->state_.store(TokenMask::State::computing, std::memory_order_release);
  lock.unlock();
  const bool is_wanted = mask.use_count() > 1;  // else its sequence has ended
  TokenMask::State state = TokenMask::State::unknown;
  if (is_wanted) state = token >= 0 ? mask->accepted(token) : mask->computed(fill_seconds_);
  lock.lock();
  mask->state_.store(state, std::memory_order_release);
  const bool wakes = std::exchange(mask->is_watched_, false);
  pending_count_.fetch_sub(1, std::memory_order_relaxed);
  is_done_.notify_all();
  lock.unlock();
  if (wakes) wake_();
  mask.reset();  // may destroy the constraint, which takes time: `since` stands until then
  lock.lock();
  mine.since = {};
  discount_thread(client);
  is_done_.notify_all();
}

}  // namespace slora
