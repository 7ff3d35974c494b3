#include "bench/one_adapter_target.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace slora::bench {
namespace {

// Runs what it is sent until the test ends it.
class HeldTarget final : public TrafficTarget {
 public:
  struct Running {
    std::size_t request;
    std::string adapter;
  };

  Result<std::vector<std::string>> adapter_names() override { return std::vector<std::string>{"a", "b"}; }
  Status send(std::size_t request, const TrafficRequest& content) override {
    running.push_back({request, content.adapter});
    return {};
  }
  Status wait(std::vector<TrafficEvent>& events, Timestamp) override {
    for (const std::size_t request : std::exchange(ending, {})) {
      events.emplace_back().request = request;
      events.back().ended = true;
      std::erase_if(running, [&](const Running& one) { return one.request == request; });
    }
    return {};
  }

  std::vector<Running> running;
  std::vector<std::size_t> ending;  // at the next wait
};

class OneAdapterTargetTest : public ::testing::Test {
 protected:
  void send(const std::string& adapter) {
    TrafficRequest request;
    request.adapter = adapter;
    ASSERT_TRUE(target_.send(sent_++, request));
  }
  // Ends these and returns the requests that run then.
  std::vector<std::size_t> end(const std::vector<std::size_t>& requests) {
    inner_->ending = requests;
    std::vector<TrafficEvent> events;
    EXPECT_TRUE(target_.wait(events, {}));
    EXPECT_EQ(events.size(), requests.size());
    return running();
  }
  [[nodiscard]] std::vector<std::size_t> running() const {
    std::vector<std::size_t> requests;
    std::set<std::string> adapters;
    for (const HeldTarget::Running& one : inner_->running) {
      requests.push_back(one.request);
      adapters.insert(one.adapter);
    }
    EXPECT_LE(adapters.size(), 1u);
    return requests;
  }

  HeldTarget* const inner_ = new HeldTarget;
  OneAdapterTarget target_{std::unique_ptr<TrafficTarget>(inner_)};
  std::size_t sent_ = 0;
};

using Requests = std::vector<std::size_t>;

TEST_F(OneAdapterTargetTest, ChangesTheAdapterWhenNothingRunsAnyMore) {
  for (const char* adapter : {"a", "b", "a", "", "b"}) send(adapter);
  EXPECT_EQ(running(), (Requests{0, 2}));
  EXPECT_EQ(end({0}), (Requests{2}));
  send("a");  // joins
  EXPECT_EQ(running(), (Requests{2, 5}));
  EXPECT_EQ(end({2, 5}), (Requests{1, 4}));
  EXPECT_EQ(end({1, 4}), (Requests{3})) << "the base model is one of them";
  EXPECT_EQ(end({3}), Requests{});
  send("b");
  EXPECT_EQ(running(), (Requests{6}));
}

TEST_F(OneAdapterTargetTest, LetsNobodyJoinOnceMoreThanThirtyOthersWait) {
  send("a");
  for (int i = 0; i < 30; ++i) send("b");
  send("a");
  EXPECT_EQ(running(), (Requests{0, 31}));
  send("b");
  send("a");
  EXPECT_EQ(running(), (Requests{0, 31}));
  EXPECT_EQ(end({0, 31}).size(), 31u) << "those of b";
  Requests all = running();
  EXPECT_EQ(end(all), (Requests{33}));
}

}  // namespace
}  // namespace slora::bench
