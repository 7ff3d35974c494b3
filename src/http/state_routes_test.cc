#include "http/state_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/testing/engine_fixture.h"
#include "http/testing/answered_exchange.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The state of a whole engine; the I/O thread is the test's.
class StateRoutesTest : public ::testing::Test {
 protected:
  std::shared_ptr<AnsweredExchange> ask(const std::string& query = "", const std::vector<std::string>& models = {"*"},
                                        const std::string& if_none_match = "") {
    HttpRequest request;
    request.query = query;
    request.if_none_match = if_none_match;
    request.access =
        models == std::vector<std::string>{"*"} ? std::make_shared<const ModelAccess>() : std::make_shared<ModelAccess>(models);
    auto exchange = std::make_shared<AnsweredExchange>(std::move(request));
    routes.state(exchange);
    while (!exchange->response) run_io();
    return exchange;
  }
  nlohmann::json state(const std::string& query = "", const std::vector<std::string>& models = {"*"}) {
    const std::shared_ptr<AnsweredExchange> exchange = ask(query, models);
    EXPECT_EQ(exchange->response->status, 200) << exchange->response->body;
    return nlohmann::json::parse(exchange->response->body);
  }
  void run_io() {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex);
      posted_one.wait(lock, [&] { return !posted.empty(); });
      work = std::move(posted.front());
      posted.pop_front();
    }
    work();
  }
  void use(const std::string& adapter) { engine.wait(engine.submit(engine.request(adapter, {4, 8, 15, 16}, 4))); }
  // The numbers that the map names.
  static std::set<std::uint64_t> numbers_in(const nlohmann::json& state) {
    const auto runs = state["pool"]["map"]["runs"].get<std::string>();
    const std::regex number(":(\\d+)");
    std::set<std::uint64_t> numbers;
    for (std::sregex_iterator at(runs.begin(), runs.end(), number), end; at != end; ++at) numbers.insert(std::stoull((*at)[1]));
    return numbers;
  }
  static std::vector<std::string> names_in(const nlohmann::json& state) {
    std::vector<std::string> names;
    for (const nlohmann::json& adapter : state["adapters"]["list"]) names.push_back(adapter["name"]);
    return names;
  }

  testing::TestEngine engine{{}};
  const std::vector<std::string> names = testing::adapter_names();
  MetricsRegistry registry;
  RequestMetrics metrics{registry, "base"};
  std::mutex mutex;
  std::condition_variable posted_one;
  std::deque<std::function<void()>> posted;  // guarded by mutex
  std::vector<std::function<void()>> delayed;
  StateRoutes routes{{"base", true},
                     engine.runtime(),
                     metrics,
                     [this](std::function<void()> work) {
                       const std::lock_guard lock(mutex);
                       posted.push_back(std::move(work));
                       posted_one.notify_one();
                     },
                     [this](std::chrono::milliseconds, std::function<void()> work) { delayed.push_back(std::move(work)); }};
};

TEST_F(StateRoutesTest, ShowsAdaptersAndWhereTheyAreInThePool) {
  use(names[0]);
  const nlohmann::json shown = state("filter=" + names[0]);
  EXPECT_EQ(shown["model"]["name"], "base");
  EXPECT_EQ(shown["adapters"]["registered"], names.size());
  EXPECT_EQ(shown["adapters"]["resident"], 1);
  const nlohmann::json& adapter = shown["adapters"]["list"][0];
  EXPECT_EQ(adapter["name"], names[0]);
  EXPECT_EQ(adapter["state"], "resident");
  EXPECT_EQ(adapter["requests"], 0) << "no job counted it";
  EXPECT_THAT(numbers_in(shown), ::testing::Contains(adapter["number"].get<std::uint64_t>()));
}

TEST_F(StateRoutesTest, ListsTheNamesAfterOneAndThoseWithAText) {
  EXPECT_EQ(names_in(state()), names);
  EXPECT_THAT(names_in(state("after=" + names[names.size() - 2])), ElementsAre(names.back()));
  EXPECT_THAT(names_in(state("after=" + names.back())), IsEmpty());
  EXPECT_THAT(names_in(state("filter=" + names[1])), ElementsAre(names[1]));
  EXPECT_EQ(state()["adapters"]["next"], nullptr);
  EXPECT_EQ(ask("after=%zz")->response->status, 400);
}

TEST_F(StateRoutesTest, ShowsAKeyItsOwnAdaptersAndTheRestAsOnePart) {
  for (const std::string& name : {names[0], names[1], names[2]}) use(name);
  const nlohmann::json all = state();
  EXPECT_GE(numbers_in(all).size(), 3U);
  const nlohmann::json own = state("", {names[1]});
  EXPECT_THAT(names_in(own), ElementsAre(names[1]));
  EXPECT_THAT(numbers_in(own), ElementsAre(own["adapters"]["list"][0]["number"].get<std::uint64_t>()));
  EXPECT_EQ(own["pool"]["pages"], all["pool"]["pages"]);
  const nlohmann::json none = state("", {"base"});
  EXPECT_THAT(names_in(none), IsEmpty());
  EXPECT_THAT(numbers_in(none), IsEmpty());
  EXPECT_THAT(none["pool"]["map"]["runs"].get<std::string>(), HasSubstr("a")) << "that there are adapters is seen";
}

TEST_F(StateRoutesTest, IsAskedForAgainAtLittleCost) {
  use(names[0]);
  const HttpResponse first = *ask()->response;
  std::string tag;
  for (const auto& [name, value] : first.headers) {
    if (name == "ETag") tag = value;
  }
  ASSERT_FALSE(tag.empty());
  const HttpResponse again = *ask("", {"*"}, tag)->response;
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
  EXPECT_EQ(ask("", {names[1]}, tag)->response->status, 200) << "another key's answer is another";
}

// The delayed work is what comes after a second without the engine's answer.
TEST_F(StateRoutesTest, AnswersWithoutAMapWhileTheEngineGivesNone) {
  HttpRequest request;
  request.access = std::make_shared<const ModelAccess>();
  const auto exchange = std::make_shared<AnsweredExchange>(std::move(request));
  routes.state(exchange);
  ASSERT_EQ(delayed.size(), 1U);
  delayed.front()();
  while (!exchange->response) run_io();
  EXPECT_EQ(nlohmann::json::parse(exchange->response->body)["pool"]["map"], nullptr);
}

}  // namespace
}  // namespace slora
