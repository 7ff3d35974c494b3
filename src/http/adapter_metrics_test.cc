#include "http/adapter_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace slora {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Timestamp kNow = std::chrono::hours(1);

// Adapters "a0", "a1", ... of one server.
struct Fleet {
  std::shared_ptr<AdapterAccount> total = std::make_shared<AdapterAccount>();
  std::vector<std::shared_ptr<AdapterAccount>> accounts;

  explicit Fleet(int count) {
    for (int i = 0; i < count; ++i) accounts.push_back(std::make_shared<AdapterAccount>(total));
  }
  void serve(std::size_t adapter, int requests, Timestamp now = kNow) {
    for (int i = 0; i < requests; ++i) {
      accounts[adapter]->note_request(now);
      accounts[adapter]->add(AdapterFigure::stopped);
      accounts[adapter]->add(AdapterFigure::prompt_tokens, 10);
      accounts[adapter]->observe_first_token(0.02);
    }
  }
  AdapterMetrics::State state(Timestamp now = kNow) const {
    AdapterMetrics::State state{
        .standings = {}, .total = {}, .use = {}, .registered_count = accounts.size(), .now = now, .unix_seconds = 7};
    for (std::size_t i = 0; i < accounts.size(); ++i) {
      AdapterStanding standing{.name = "a" + std::to_string(i), .is_in_pool = true, .page_count = 2, .account = accounts[i]};
      state.standings.push_back(standing);
    }
    std::ranges::sort(state.standings, {}, &AdapterStanding::name);
    state.total = total->figures();
    return state;
  }
};

std::string written(AdapterMetrics& metrics, const AdapterMetrics::State& state, const ModelAccess& access = {}) {
  PrometheusWriter writer;
  metrics.write(writer, state, access);
  return writer.text();
}

// The values of a metric's samples by the label "adapter".
std::map<std::string, double> values(const std::string& text, const std::string& metric, const std::string& more = "") {
  std::map<std::string, double> found;
  std::istringstream lines(text);
  const std::string begin = metric + "{adapter=\"";
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(begin) || line.find(more) == std::string::npos) continue;
    found[line.substr(begin.size(), line.find('"', begin.size()) - begin.size())] = std::stod(line.substr(line.rfind(' ')));
  }
  return found;
}

TEST(AdapterMetrics, BoundNamesHoweverManyAdaptersThereAre) {
  constexpr int count = 10'000;
  Fleet fleet(count);
  for (std::size_t i = 0; i < count; ++i) fleet.serve(i, i % 100 == 0 ? 20 : 1);
  AdapterMetrics metrics(64);
  const std::string text = written(metrics, fleet.state());
  EXPECT_LT(text.size(), 200'000U);
  const auto requests = values(text, "slora_adapter_requests_total", R"(finished_reason="stop")");
  EXPECT_EQ(requests.size(), 65U);
  double sum = 0;
  for (const auto& [name, value] : requests) sum += value;
  EXPECT_EQ(sum, 9'900 + 100 * 20) << "nothing is lost";
  EXPECT_EQ(std::ranges::count_if(requests, [](const auto& entry) { return entry.second == 20; }), 64) << "the busiest";
  EXPECT_EQ(values(text, "slora_adapter_time_to_first_token_seconds_count").size(), 65U);
  EXPECT_EQ(values(text, "slora_adapter_pages").at("_other"), 2 * (count - 64));

  const std::string list =
      text.substr(text.find("running_lora_adapters=\""), text.find("\",waiting") - text.find("running_lora_adapters=\""));
  EXPECT_EQ(std::ranges::count(list, ','), 199);
  EXPECT_THAT(text, HasSubstr(R"(max_lora="10001")"));
  EXPECT_THAT(text, HasSubstr("vllm:num_gpu_loaded_lora_adapters 10000"));
  std::size_t loaded = 0;
  for (std::size_t at = text.find("\nvllm:lora_adapter_loaded{"); at != std::string::npos;
       at = text.find("\nvllm:lora_adapter_loaded{", at + 1))
    ++loaded;
  EXPECT_EQ(loaded, 200U);
}

TEST(AdapterMetrics, LongNamesTakeNoMoreThanTheirBytes) {
  Fleet fleet(150);
  AdapterMetrics metrics(0);
  AdapterMetrics::State state = fleet.state();
  for (AdapterStanding& standing : state.standings) standing.name += std::string(120, 'x');
  const std::string text = written(metrics, state);
  EXPECT_LT(text.find("\",waiting") - text.find("running_lora_adapters=\""), 8192U + 30);
}

TEST(AdapterMetrics, CountersNeverFallWhenOthersBecomeBusier) {
  Fleet fleet(3);
  AdapterMetrics metrics(1);
  fleet.serve(0, 10);
  fleet.serve(1, 4);
  const auto first = values(written(metrics, fleet.state()), "slora_adapter_prompt_tokens_total");
  EXPECT_EQ(first, (std::map<std::string, double>{{"a0", 100}, {"_other", 40}}));
  fleet.serve(1, 8);  // 12 and 10: no reason to change places
  const auto second = values(written(metrics, fleet.state()), "slora_adapter_prompt_tokens_total");
  EXPECT_EQ(second, (std::map<std::string, double>{{"a0", 100}, {"_other", 120}}));
  fleet.serve(1, 8);
  const auto third = values(written(metrics, fleet.state()), "slora_adapter_prompt_tokens_total");
  EXPECT_EQ(third, (std::map<std::string, double>{{"a1", 80}, {"_other", 220}})) << "what it had before stays where it was";
  fleet.serve(1, 1);
  EXPECT_EQ(values(written(metrics, fleet.state()), "slora_adapter_prompt_tokens_total"),
            (std::map<std::string, double>{{"a1", 90}, {"_other", 220}}));
  // The name was registered again.
  fleet.accounts[1] = std::make_shared<AdapterAccount>(fleet.total);
  fleet.serve(1, 30);
  EXPECT_EQ(values(written(metrics, fleet.state()), "slora_adapter_prompt_tokens_total"),
            (std::map<std::string, double>{{"a1", 300}, {"_other", 310}}));
}

TEST(AdapterMetrics, ListThoseInUseFirstThenThoseUsedLast) {
  Fleet fleet(4);
  for (std::size_t i = 0; i < 4; ++i) fleet.serve(i, 1, kNow - std::chrono::seconds(i));
  AdapterMetrics metrics(0);
  AdapterMetrics::State state = fleet.state();
  state.standings[2].is_in_pool = false;
  state.use = {.running = {"a3"}, .waiting = {"0.5 x a0 + 0.5 x a1", "a2"}};
  const std::string text = written(metrics, state);
  EXPECT_THAT(text, HasSubstr(R"(vllm:lora_requests_info{max_lora="5",running_lora_adapters="a3,a0,a1",waiting_lora_adapters="a2"} 7)"));
  EXPECT_THAT(text, Not(HasSubstr("adapter=\"")));
}

TEST(AdapterMetrics, ShowOnlyWhatACallerMayKnow) {
  Fleet fleet(3);
  for (std::size_t i = 0; i < 3; ++i) fleet.serve(i, 1);
  AdapterMetrics metrics(64);
  const std::string text = written(metrics, fleet.state(), ModelAccess({"a1"}));
  EXPECT_THAT(text, HasSubstr("\"a1\""));
  EXPECT_THAT(text, Not(HasSubstr("\"a0\"")));
  EXPECT_THAT(text, Not(HasSubstr("a2")));
}

}  // namespace
}  // namespace slora
