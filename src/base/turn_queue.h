#pragma once
#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace slora {

// A bounded queue between threads in which clients take turns: pop() returns one value of each client that has any before a second one of
// any of them, and those of one client in order. No client may have more than its share. Any number of threads on both sides.
template <class Client, class T>
class TurnQueue {
 public:
  TurnQueue(std::size_t capacity, std::size_t capacity_per_client) : capacity_(capacity), capacity_per_client_(capacity_per_client) {}

  // Returns false and leaves `value` unchanged if the queue or the client's share of it is full, or it is closed. The same when it throws,
  // for lack of memory.
  [[nodiscard]] bool try_push(const Client& client, T&& value) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || count_ >= capacity_) return false;
      const auto own = values_.try_emplace(client).first;
      if (own->second.size() >= capacity_per_client_) return false;
      try {
        if (own->second.empty()) turns_.push_back(client);
        own->second.push_back(std::move(value));
      } catch (...) {
        if (own->second.empty()) forget(own);
        throw;
      }
      ++count_;
    }
    ready_.notify_one();
    return true;
  }

  // Waits for a value and returns it, or nothing once the queue is closed and empty. Takes nothing when it throws, for lack of memory.
  [[nodiscard]] std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return closed_ || count_ > 0; });
    if (count_ == 0) return std::nullopt;
    const auto own = values_.find(turns_.front());
    const bool has_more = own->second.size() > 1;
    if (has_more) turns_.push_back(turns_.front());  // first, for it may throw
    turns_.pop_front();
    T value = std::move(own->second.front());
    own->second.pop_front();
    --count_;
    if (!has_more) values_.erase(own);
    return value;
  }

  // Appends all queued values to `out`; never blocks.
  void drain_into(std::vector<T>& out) {
    const std::lock_guard lock(mutex_);
    for (auto& [client, own] : values_) {
      for (T& value : own) out.push_back(std::move(value));
    }
    values_.clear();
    turns_.clear();
    count_ = 0;
  }

  // Refuses further pushes and wakes up all waiting threads.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

 private:
  using Values = std::unordered_map<Client, std::deque<T>>;

  // A client that got no place after all.
  void forget(typename Values::iterator own) {
    if (!turns_.empty() && turns_.back() == own->first) turns_.pop_back();
    values_.erase(own);
  }

  const std::size_t capacity_, capacity_per_client_;
  std::mutex mutex_;
  std::condition_variable ready_;
  // All guarded by mutex_:
  Values values_;             // of clients that have any
  std::deque<Client> turns_;  // the same clients, whose turn is next first
  std::size_t count_ = 0;
  bool closed_ = false;
};

}  // namespace slora
