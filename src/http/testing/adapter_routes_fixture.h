#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "adapters/testing/lora_fixture.h"
#include "adapters/testing/scripted_folders.h"
#include "base/byte_budget.h"
#include "http/adapter_routes.h"
#include "http/testing/answered_exchange.h"

namespace slora {

// Two roots, of which one may hang; the I/O thread is the test's.
class AdapterRoutesFixture : public ::testing::Test {
 protected:
  AdapterRoutesFixture() {
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

  std::shared_ptr<AnsweredExchange> of_body(std::string body, const char* content_type = "application/json", std::string path_rest = "") {
    return std::make_shared<AnsweredExchange>(HttpRequest{.path_rest = std::move(path_rest), .content_type = content_type},
                                              RequestBody{std::move(body), memory.reservation_for(ClientId{1})});
  }
  std::shared_ptr<AnsweredExchange> load(const std::string& name, const std::string& path) {
    const std::shared_ptr<AnsweredExchange> exchange = of_body(R"({"lora_name":")" + name + R"(","lora_path":")" + path + R"("})");
    routes->load(exchange);
    return exchange;
  }
  std::shared_ptr<AnsweredExchange> named(const std::string& name) { return of_body(R"({"lora_name":")" + name + R"("})"); }
  // Runs the I/O thread until there is an answer.
  HttpResponse answer_of(const AnsweredExchange& exchange) {
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

}  // namespace slora
