#include "http/cached_body.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>

namespace slora {
namespace {

class BodyExchange final : public Exchange {
 public:
  const HttpRequest& request() const override { return request_; }
  RequestBody take_body() override { return {}; }
  void respond(HttpResponse response) override { body = std::move(response.body); }
  void begin_stream(std::string_view) override {}
  void send(std::string_view) override {}
  void end_stream() override {}
  void give_up() noexcept override {}
  void on_gone(std::function<void()>) override {}

  std::string body;

 private:
  HttpRequest request_;
};

// What is posted to the I/O thread, which is the test's.
class PostedWork {
 public:
  void post(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      work_.push_back(std::move(work));
    }
    posted_.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    posted_.wait(lock, [&] { return !work_.empty(); });
  }
  void run_one() {
    std::unique_lock lock(mutex_);
    posted_.wait(lock, [&] { return !work_.empty(); });
    const std::function<void()> work = std::move(work_.front());
    work_.pop_front();
    lock.unlock();
    work();
  }

 private:
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> work_;
};

TEST(CachedBody, IsFormattedOnceForAllWhoAskBeforeAChange) {
  PostedWork io;
  std::atomic<std::uint64_t> stamp = 1;
  std::atomic<int> formatted = 0;
  CachedBody body([&] { return stamp.load(); },
                  [&] {
                    ++formatted;
                    return CachedBody::Body{stamp, std::to_string(stamp)};
                  },
                  [&](std::function<void()> work) { io.post(std::move(work)); });
  const auto ask = [&] {
    auto exchange = std::make_shared<BodyExchange>();
    body.answer(exchange);
    return exchange;
  };
  const auto first = ask(), second = ask();
  EXPECT_EQ(first->body, "") << "not on this thread";
  io.run_one();
  EXPECT_EQ(first->body, "1");
  EXPECT_EQ(second->body, "1");
  EXPECT_EQ(ask()->body, "1");
  EXPECT_EQ(formatted, 1);

  stamp = 2;
  const auto third = ask();
  io.run_one();
  EXPECT_EQ(third->body, "2");
  EXPECT_EQ(formatted, 2);
}

TEST(CachedBody, ShowsALaterRequestWhatChangedMeanwhile) {
  PostedWork io;
  std::uint64_t stamp = 1;
  std::atomic<std::uint64_t> shown = 1;
  CachedBody body([&] { return stamp; },
                  [&] {
                    return CachedBody::Body{shown, std::to_string(shown)};
                  },
                  [&](std::function<void()> work) { io.post(std::move(work)); });
  const auto before = std::make_shared<BodyExchange>(), after = std::make_shared<BodyExchange>();
  body.answer(before);
  io.wait();  // it is formatted, and this thread does not know yet
  stamp = 2;
  shown = 2;
  body.answer(after);
  io.run_one();
  EXPECT_EQ(before->body, "1");
  EXPECT_EQ(after->body, "");
  io.run_one();
  EXPECT_EQ(after->body, "2");
}

}  // namespace
}  // namespace slora
