// What policies do for the time to the first token, on a device whose steps take modelled time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>

#include "scheduler/policies/deadline.h"
#include "scheduler/policies/fair_share.h"
#include "scheduler/policies/fcfs.h"
#include "scheduler/testing/simulated_device.h"
#include "scheduler/testing/timed_play.h"

namespace slora {
namespace {

using std::chrono::milliseconds;
using PolicyMaker = std::function<std::unique_ptr<Policy>()>;

constexpr ClientId kFlood{1}, kOther{2};

SchedulerOptions server_options() {
  SchedulerOptions options;
  options.page_count = 60'000;
  options.step_tokens_max = 512;
  options.running_max = 256;
  options.waiting_max = 100'000;
  options.preempted_every = 0;
  return options;
}

SequenceRequest request_of(std::uint64_t id, ClientId client, std::int32_t prompt_count, std::int32_t output_tokens_max) {
  SequenceRequest request;
  request.id = SequenceId{id};
  request.client = client;
  request.prompt.resize(static_cast<std::size_t>(prompt_count));
  std::iota(request.prompt.begin(), request.prompt.end(), static_cast<TokenId>(id * 10'000));
  request.output_tokens_max = output_tokens_max;
  return request;
}

// The first token of one request for `prompt_count` tokens, which arrives 5 s after `flood_count` requests of 1,000 tokens of another
// client.
Timestamp first_token_after_flood(const PolicyMaker& make_policy, std::uint64_t flood_count, std::int32_t prompt_count) {
  TimedPlay play(server_options(), make_policy(), {});
  for (std::uint64_t id = 1; id <= flood_count; ++id) play.add(request_of(id, kFlood, 1000, 100), {});
  play.add(request_of(1000, kOther, prompt_count, 2), milliseconds(5003));
  play.run();
  return play.first_token_time(SequenceId{1000}).value();
}

// The first tokens of requests for `prompt_count` tokens that come every ten seconds, at other moments of a step, next to `flood_count`
// requests of 1,000 tokens of another client that came before. Without the first: nobody knows its client then.
std::vector<double> first_tokens_of_a_regular_client(std::uint64_t flood_count, std::int32_t prompt_count,
                                                     Timestamp shared_step_time = FairSharePolicy::kSharedStepTime) {
  constexpr std::uint64_t kRequests = 20;
  auto policy = std::make_unique<FairSharePolicy>(ClientWeights{}, FairSharePolicy::kCreditMax, shared_step_time);
  TimedPlay play(server_options(), std::move(policy), {});
  for (std::uint64_t id = 1; id <= flood_count; ++id) play.add(request_of(id, kFlood, 1000, 100), {});
  for (std::uint64_t i = 0; i < kRequests; ++i)
    play.add(request_of(1000 + i, kOther, prompt_count, 2), milliseconds(5003 + 10'037 * static_cast<std::int64_t>(i)));
  play.run();
  std::vector<double> times;
  for (std::uint64_t i = 1; i < kRequests; ++i) times.push_back(seconds(play.first_token_time(SequenceId{1000 + i}).value()));
  std::ranges::sort(times);
  return times;
}

// Who uses less than its part gets whole steps for its prompt. A flood delays its first token by the step that runs when it comes, which is
// short, and by the tokens that the other's running sequences generate meanwhile. Prompts of 4,000 tokens take more than the client's
// part now and then, and are computed in shared steps then.
TEST(TimedPolicies, AnswerARegularClientWithinTwiceTheTimeAlone) {
  for (const std::int32_t prompt_count : {1000, 2000, 4000}) {
    const double alone = first_tokens_of_a_regular_client(0, prompt_count).back();
    const std::vector<double> flooded = first_tokens_of_a_regular_client(200, prompt_count);
    const double median = flooded[flooded.size() / 2] / alone, most = flooded.back() / alone;
    RecordProperty("median of the times the time alone, regular prompts of " + std::to_string(prompt_count), std::to_string(median));
    RecordProperty("most of the times the time alone, regular prompts of " + std::to_string(prompt_count), std::to_string(most));
    EXPECT_LE(median, 1.1) << prompt_count;
    EXPECT_LE(most, prompt_count == 4000 ? 1.7 : 1.25) << prompt_count;
  }
}

// A prompt of few tokens waits for the step that runs when it comes, and then for its own: both are short, as the policy makes them while
// it expects that client. In whole steps it takes several times as long.
TEST(TimedPolicies, AnswerShortPromptsOfARegularClientAfterTwoShortSteps) {
  for (const std::int32_t prompt_count : {20, 200, 1000}) {
    const double alone = first_tokens_of_a_regular_client(0, prompt_count).back();
    const std::vector<double> flooded = first_tokens_of_a_regular_client(200, prompt_count);
    const std::vector<double> in_whole_steps = first_tokens_of_a_regular_client(200, prompt_count, Timestamp::max());
    const auto record = [&](const std::string& name, double time) {
      RecordProperty(name + " of " + std::to_string(prompt_count), std::to_string(time));
    };
    record("seconds alone", alone);
    record("seconds, median", flooded[flooded.size() / 2]);
    record("seconds, most", flooded.back());
    record("seconds in whole steps, median", in_whole_steps[flooded.size() / 2]);
    record("seconds in whole steps, most", in_whole_steps.back());
    EXPECT_LE(flooded.back(), prompt_count < 200 ? alone + 0.3 : 2 * alone) << prompt_count;
    EXPECT_LT(3 * (flooded.back() - alone), in_whole_steps.back() - alone) << prompt_count;
  }
}

// A flood delays the first request of a new client by the step that runs when it comes, by half of the prompt tokens of those steps that
// compute the other's prompt, and by the tokens that its running sequences generate in them: a little more than twice the time alone for a
// prompt that takes whole steps. A shorter one waits for two steps.
TEST(TimedPolicies, BoundWhatAFloodDoesToANewClient) {
  const auto fair = [] { return std::make_unique<FairSharePolicy>(); };
  const auto fcfs = [] { return std::make_unique<FcfsPolicy>(); };
  for (const std::int32_t prompt_count : {1000, 2000, 4000}) {
    const Timestamp alone = first_token_after_flood(fair, 0, prompt_count);
    const Timestamp flooded = first_token_after_flood(fair, 200, prompt_count);
    const Timestamp by_arrival = first_token_after_flood(fcfs, 200, prompt_count);
    const double ratio = seconds(flooded) / seconds(alone);
    RecordProperty("times the time alone, prompt of " + std::to_string(prompt_count), std::to_string(ratio));
    EXPECT_LT(ratio, 2.5) << prompt_count;
    EXPECT_GT(seconds(by_arrival), 10 * seconds(flooded)) << prompt_count;
  }
  const Timestamp short_prompt = first_token_after_flood(fair, 200, 20);
  RecordProperty("seconds for a prompt of 20", std::to_string(seconds(short_prompt)));
  EXPECT_LT(short_prompt, milliseconds(600)) << "the step that runs, which is whole, and a short one";
}

// The newest first, and nobody is given up.
class NewestFirstPolicy final : public Policy {
 public:
  void charge(std::span<const ServiceCharge>) override {}
  void decide(const StepView&, StepDecision& decision) override { std::ranges::reverse(decision.queue); }
  [[nodiscard]] std::int32_t prompt_tokens(const SequenceView&, std::int32_t left) override { return left; }
};

struct Attainment {
  double in_time = 0, satisfaction = 0;  // means over all requests; S-LoRA's 1 - (t / SLO)^2, 0 when it came later or not at all
  std::size_t given_up_count = 0;
};

// Arrivals for two minutes, with this coefficient of variation between them, above 1: bursts.
Attainment attainment_of(const PolicyMaker& make_policy, double variation, std::uint64_t seed) {
  constexpr Timestamp slo = std::chrono::seconds(6);
  constexpr double rate = 2.4;  // requests per second
  SimulatedRandom random(seed);
  const double pause_chance = 2 / (variation * variation + 1);  // of an exponential pause before a request; otherwise it comes at once
  const auto draw_pause = [&] { return random.chance(pause_chance) ? -std::log(1 - random.unit()) / (rate * pause_chance) : 0.0; };
  SchedulerOptions options = server_options();
  options.running_max = 32;
  TimedPlay play(options, make_policy(), {});
  std::uint64_t count = 0;
  for (double at = draw_pause(); at < 120; at += draw_pause())
    play.add(
        request_of(++count, kFlood, static_cast<std::int32_t>(random.between(8, 512)), static_cast<std::int32_t>(random.between(8, 200))),
        std::chrono::duration_cast<Timestamp>(std::chrono::duration<double>(at)));
  play.run();
  Attainment attainment;
  for (std::uint64_t id = 1; id <= count; ++id) {
    const std::optional<Timestamp> first = play.first_token_time(SequenceId{id});
    if (!first || *first >= slo) continue;
    const double share = seconds(*first) / seconds(slo);
    attainment.in_time += 1 / static_cast<double>(count);
    attainment.satisfaction += (1 - share * share) / static_cast<double>(count);
  }
  attainment.given_up_count = play.given_up_count();
  return attainment;
}

// The order of the paper's figure 10 for bursts: by arrival, the newest first, early abort.
TEST(TimedPolicies, AttainMoreByEarlyAbortThanNewestFirstThanByArrival) {
  for (const double variation : {4.0, 8.0}) {
    Attainment fcfs, newest, deadline, attaining;
    constexpr std::uint64_t kSeeds = 5;
    const auto add = [](Attainment& sum, const Attainment& more) {
      sum.in_time += more.in_time / kSeeds;
      sum.satisfaction += more.satisfaction / kSeeds;
      sum.given_up_count += more.given_up_count;
    };
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      add(fcfs, attainment_of([] { return std::make_unique<FcfsPolicy>(); }, variation, seed));
      add(newest, attainment_of([] { return std::make_unique<NewestFirstPolicy>(); }, variation, seed));
      add(deadline, attainment_of([] { return std::make_unique<DeadlinePolicy>(DeadlineLimits{}); }, variation, seed));
      const auto for_attainment = [] { return std::make_unique<DeadlinePolicy>(DeadlineLimits{.reward = FirstTokenReward::attainment}); };
      add(attaining, attainment_of(for_attainment, variation, seed));
    }
    for (const auto& [name, attained] :
         {std::pair{"fcfs", fcfs}, {"newest first", newest}, {"deadline", deadline}, {"deadline for attainment", attaining}})
      RecordProperty(std::string(name) + ", variation " + std::to_string(static_cast<int>(variation)),
                     std::to_string(attained.in_time) + " in time, satisfaction " + std::to_string(attained.satisfaction));
    EXPECT_LT(fcfs.in_time, newest.in_time) << variation;
    EXPECT_LT(newest.in_time, deadline.in_time) << variation;
    EXPECT_LT(newest.satisfaction, deadline.satisfaction) << variation;
    EXPECT_GT(deadline.given_up_count, 0u);
    EXPECT_LT(deadline.in_time, attaining.in_time) << variation;
    EXPECT_EQ(fcfs.given_up_count + newest.given_up_count, 0u);
  }
}

// For two minutes steps take five times as long, so that prompts take longer than the SLO. Meanwhile one long answer is generated, with
// which the server is never idle. As soon as the machine is fast again, so is the estimate.
TEST(TimedPolicies, ServeAllAgainOnceASlowMachineIsFast) {
  const StepCosts costs{.slow_begin = std::chrono::seconds(30), .slow_end = std::chrono::seconds(150), .slow_factor = 5};
  TimedPlay play(server_options(), std::make_unique<DeadlinePolicy>(DeadlineLimits{.first_token_slo = std::chrono::seconds(1)}), costs);
  play.add(request_of(1, kOther, 8, 20'000), {});
  SimulatedRandom random(1);
  constexpr std::uint64_t kRequests = 300;
  for (std::uint64_t i = 1; i <= kRequests; ++i)
    play.add(request_of(1 + i, kFlood, static_cast<std::int32_t>(random.between(320, 512)), 20), std::chrono::seconds(i));
  play.run(std::chrono::seconds(kRequests + 20));
  std::uint64_t lost_while_slow = 0, lost_later = 0;
  for (std::uint64_t i = 1; i <= kRequests; ++i)
    if (!play.first_token_time(SequenceId{1 + i})) ++(i < 155 ? lost_while_slow : lost_later);
  RecordProperty("given up while the machine was slow", std::to_string(lost_while_slow));
  RecordProperty("given up later", std::to_string(lost_later));
  EXPECT_GT(lost_while_slow, 10u);
  EXPECT_EQ(lost_later, 0u);
}

}  // namespace
}  // namespace slora
