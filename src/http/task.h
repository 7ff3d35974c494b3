#pragma once
#include <boost/system/error_code.hpp>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>

namespace slora {

// What a coroutine of either kind remembers for its caller.
class TaskPromiseBase {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }
  auto final_suspend() const noexcept {
    struct ResumeCaller {
      std::coroutine_handle<> caller;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<>) const noexcept {
        return caller ? caller : std::coroutine_handle<>(std::noop_coroutine());
      }
      void await_resume() const noexcept {}
    };
    return ResumeCaller{caller};
  }
  void unhandled_exception() noexcept { thrown = std::current_exception(); }

  std::coroutine_handle<> caller;
  std::exception_ptr thrown;
};

template <class T>
class TaskPromise : public TaskPromiseBase {
 public:
  void return_value(T given) { value.emplace(std::move(given)); }
  [[nodiscard]] T result() { return std::move(*value); }

  std::optional<T> value;
};
template <>
class TaskPromise<void> : public TaskPromiseBase {
 public:
  void return_void() const noexcept {}
  void result() const noexcept {}
};

// A coroutine that begins when it is awaited or started, and resumes its caller at its end. Its frame lives as long as this object. Unlike
// with Boost's awaitable (1.74), an operation that can't begin for lack of memory is an exception where it is awaited, not the end of the
// process. One thread.
template <class T>
class [[nodiscard]] Task {
 public:
  struct promise_type : TaskPromise<T> {
    Task get_return_object() noexcept { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
  };

  Task() = default;
  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(frame_, other.frame_);
    return *this;
  }
  ~Task() {
    if (frame_) frame_.destroy();
  }

  // For a task that nobody awaits. Requires: it catches its exceptions.
  void start() { frame_.resume(); }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
    frame_.promise().caller = caller;
    return frame_;
  }
  T await_resume() {
    if (frame_.promise().thrown) std::rethrow_exception(frame_.promise().thrown);
    return frame_.promise().result();
  }

 private:
  explicit Task(std::coroutine_handle<promise_type> frame) : frame_(frame) {}

  std::coroutine_handle<promise_type> frame_;
};

// How an operation on a socket ended.
struct IoResult {
  boost::system::error_code failure;
  std::size_t bytes = 0;
};

// Awaits one asynchronous operation of Boost.Asio: `start` is called with the handler to begin it with.
template <class Start>
class [[nodiscard]] IoWait {
 public:
  explicit IoWait(Start start) : start_(std::move(start)) {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    start_([this, waiting](const boost::system::error_code& failure, std::size_t bytes) {
      result_ = {failure, bytes};
      waiting.resume();
    });
  }
  IoResult await_resume() const noexcept { return result_; }

 private:
  Start start_;
  IoResult result_;
};

}  // namespace slora
