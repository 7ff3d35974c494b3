#include "http/adapter_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>

#include "adapters/testing/lora_fixture.h"
#include "adapters/testing/scripted_folders.h"
#include "base/byte_budget.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

class LoadExchange final : public Exchange {
 public:
  LoadExchange(ByteBudget& memory, std::string body) : body_{std::move(body), memory.reservation_for(ClientId{1})} {
    request_.content_type = "application/json";
  }
  const HttpRequest& request() const override { return request_; }
  RequestBody take_body() override { return std::move(body_); }
  void respond(HttpResponse given) override { response = std::move(given); }
  void begin_stream(std::string_view) override {}
  void send(std::string_view) override {}
  void end_stream() override {}
  void give_up() noexcept override { response = HttpResponse{.status = 599}; }
  void on_gone(std::function<void()>) override {}

  std::optional<HttpResponse> response;

 private:
  HttpRequest request_;
  RequestBody body_;
};

// Two roots, of which one may hang; the I/O thread is the test's.
class AdapterRoutesTest : public ::testing::Test {
 protected:
  AdapterRoutesTest() {
    for (const char* name : {"one", "two", "three", "four", "five", "six"}) {
      lora_of_rank(4).write(slow.file(name));
      lora_of_rank(8).write(fast.file(name));
    }
    make_routes(options());
  }
  void make_routes(const AdapterApiOptions& given) {
    routes.emplace(
        store, given, [this](std::function<void()> work) { post(std::move(work)); },
        [this](std::chrono::milliseconds delay, std::function<void()> work) {
          delayed.push_back({std::chrono::steady_clock::now() + delay, std::move(work)});
        });
  }
  void TearDown() override { folders.mend(); }
  AdapterApiOptions options() {
    return {.roots = {slow.path(), fast.path()},
            .page_count_max = 100,
            .pin = [](const std::string&, const std::function<void(Status)>& on_done) { on_done({}); },
            .unpin = [](const std::string&, const std::function<void(Status)>& on_done) { on_done({}); },
            .loads = {.threads_per_lane = 2, .lanes_max = 4, .idle_time_max = std::chrono::seconds(2)},
            .folders = folders};
  }

  std::shared_ptr<LoadExchange> load(const std::string& name, const std::string& path) {
    auto exchange = std::make_shared<LoadExchange>(memory, R"({"lora_name":")" + name + R"(","lora_path":")" + path + R"("})");
    routes->load(exchange);
    return exchange;
  }
  std::shared_ptr<LoadExchange> named(const std::string& name) {
    return std::make_shared<LoadExchange>(memory, R"({"lora_name":")" + name + R"("})");
  }
  // Runs the I/O thread until there is an answer.
  HttpResponse answer_of(const LoadExchange& exchange) {
    while (!exchange.response) run_io();
    return *exchange.response;
  }
  void run_io() {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex);
      posted_one.wait_for(lock, std::chrono::milliseconds(5), [&] { return !posted.empty(); });
      if (!posted.empty()) {
        work = std::move(posted.front());
        posted.pop_front();
      }
    }
    if (work) work();
    for (auto at = delayed.begin(); at != delayed.end();) {
      if (std::chrono::steady_clock::now() < at->first) {
        ++at;
        continue;
      }
      const std::function<void()> due = std::move(at->second);
      at = delayed.erase(at);
      due();
    }
  }
  void post(std::function<void()> work) {
    const std::lock_guard lock(mutex);
    posted.push_back(std::move(work));
    posted_one.notify_one();
  }

  const TemporaryFolder slow, fast;
  ScriptedFolders folders;
  AdapterStore store{test_base(), kLookAlways, folders};
  ByteBudget memory{std::size_t{64} << 20};
  std::mutex mutex;
  std::condition_variable posted_one;
  std::deque<std::function<void()>> posted;
  std::list<std::pair<std::chrono::steady_clock::time_point, std::function<void()>>> delayed;
  std::optional<AdapterRoutes> routes;
};

TEST_F(AdapterRoutesTest, LoadsAndRefusesByName) {
  EXPECT_THAT(answer_of(*load("sql", fast.file("one"))).body, HasSubstr("Success"));
  EXPECT_TRUE(store.find("sql"));
  EXPECT_EQ(answer_of(*load("sql", fast.file("two"))).status, 400) << "the name is taken";
  EXPECT_EQ(answer_of(*load("..", fast.file("two"))).status, 400);
  EXPECT_THAT(answer_of(*load("poems", fast.file("nowhere"))).body, HasSubstr("lora_path"));
}

TEST_F(AdapterRoutesTest, AHangingFolderDelaysNoOtherRootAndIsGivenUp) {
  folders.hang(slow.path());
  std::vector<std::shared_ptr<LoadExchange>> hanging;
  for (const char* name : {"one", "two", "three", "four", "five", "six"}) hanging.push_back(load(name, slow.file(name)));
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(answer_of(*load("fast", fast.file("one"))).status, 200);
  EXPECT_FALSE(hanging.front()->response) << "it waits, for " << seconds(std::chrono::steady_clock::now() - begun) << " s";
  for (const auto& exchange : hanging) {
    const HttpResponse answer = answer_of(*exchange);
    EXPECT_EQ(answer.status, 503);
    EXPECT_THAT(answer.body, HasSubstr("adapter_unavailable"));
    EXPECT_THAT(answer.body, HasSubstr("nothing was read for"));
  }
  EXPECT_TRUE(routes->is_reading());
  folders.mend();
  while (routes->is_reading()) std::this_thread::yield();
  EXPECT_FALSE(store.find("one")) << "what was refused must not appear later";
  EXPECT_EQ(answer_of(*load("one", slow.file("one"))).status, 200);
}

TEST_F(AdapterRoutesTest, APinThatWaitsForItsFolderDelaysNoUnpin) {
  ASSERT_EQ(answer_of(*load("sql", slow.file("one"))).status, 200);
  folders.hang(slow.path());
  const auto pinned = named("sql"), unpinned = named("poems");
  routes->pin(pinned);
  routes->unpin(unpinned);
  EXPECT_THAT(answer_of(*unpinned).body, HasSubstr("'poems' unpinned"));
  EXPECT_FALSE(pinned->response) << pinned->response->body;
  folders.mend();
  EXPECT_THAT(answer_of(*pinned).body, HasSubstr("'sql'"));
}

TEST_F(AdapterRoutesTest, ReadsTextsUnderTheGateOfTheLoad) {
  AdapterApiOptions given = options();
  std::atomic<bool> was_closed = false;
  given.check_texts = [&](const FolderPath&, std::int32_t, Gate& gate) -> Status {
    gate.compute([&] { std::this_thread::sleep_for(std::chrono::milliseconds(2500)); });
    was_closed = !gate.pass([] {});
    return {};
  };
  routes.reset();
  delayed.clear();  // it was theirs
  make_routes(given);
  EXPECT_EQ(answer_of(*load("sql", fast.file("one"))).status, 200) << "building a tokenizer took longer than a read may be idle";
  EXPECT_FALSE(was_closed);
}

}  // namespace
}  // namespace slora
