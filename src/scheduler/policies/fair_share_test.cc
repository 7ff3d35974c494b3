#include "scheduler/policies/fair_share.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "scheduler/testing/fair_share_case.h"
#include "scheduler/testing/scheduler_play.h"

namespace slora {
namespace {

using testing::ElementsAre;

TEST(FairSharePolicy, ServesClientsInTurnHoweverManySequencesOneHas) {
  FairShareCase play;
  for (int i = 0; i < 4; ++i) play.wait(kA);
  play.wait(kB);
  play.wait(kB);
  EXPECT_THAT(play.decide().queue, ElementsAre(0, 4, 1, 5, 2, 3)) << "equal counters by arrival";
}

TEST(FairSharePolicy, ServesWhoGotLeastFirst) {
  FairShareCase play;
  play.wait(kA);
  play.wait(kB);
  static_cast<void>(play.decide());
  play.charge({.client = kA, .output_tokens = 1});
  EXPECT_THAT(play.decide().queue, ElementsAre(1, 0));
}

TEST(FairSharePolicy, ChargesAllThatIsDoneForAClient) {
  FairShareCase play;
  play.charge({.client = kA, .prompt_tokens = 100});
  play.charge({.client = kA, .recomputed_tokens = 10});
  play.charge({.client = kA, .output_tokens = 2});
  play.charge({.client = kA, .adapter_pages = 3});
  EXPECT_EQ(play.policy.served(kA), 100 + 10 + 2 * 2 + 3);
  EXPECT_EQ(play.policy.served(kB), 0);
}

TEST(FairSharePolicy, GivesTwiceTheServiceForTwiceTheWeight) {
  FairShareCase play{.policy = FairSharePolicy({{kA, 2.0}}), .waiting = {}, .running = {}};
  play.charge({.client = kA, .prompt_tokens = 100});
  play.charge({.client = kB, .prompt_tokens = 100});
  EXPECT_EQ(play.policy.served(kA), 50);
  EXPECT_EQ(play.policy.served(kB), 100);
}

TEST(FairSharePolicy, CountsPromptsThatWereAdmittedAndNotYetComputed) {
  FairShareCase play;
  play.run(kA, 1000);
  play.wait(kA);
  play.wait(kB);
  EXPECT_THAT(play.decide().queue, ElementsAre(1, 0));
}

TEST(FairSharePolicy, GivesNoCreditToANewClient) {
  FairShareCase play;
  play.wait(kA);
  static_cast<void>(play.decide());
  play.charge({.client = kA, .prompt_tokens = 1'000'000});
  play.wait(kB);
  static_cast<void>(play.decide());
  EXPECT_EQ(play.policy.served(kB), 1'000'000);
}

TEST(FairSharePolicy, GivesAClientThatComesBackWhatItDidNotUse) {
  FairShareCase play;
  play.wait(kB);  // once, so that it is known
  static_cast<void>(play.decide());
  play.charge({.client = kB, .prompt_tokens = 500});
  play.waiting.clear();
  play.wait(kA);
  for (const std::int32_t more : {500, 100, 900, 1'000'000}) {
    static_cast<void>(play.decide());
    play.charge({.client = kA, .prompt_tokens = more});
  }
  EXPECT_EQ(play.policy.served(kA), 500 + 1'001'500);
  play.wait(kB);
  static_cast<void>(play.decide());
  EXPECT_EQ(play.policy.served(kB), play.policy.served(kA) - FairSharePolicy::kCreditMax) << "bounded, however long it was away";

  play.charge({.client = kB, .prompt_tokens = 4000});
  play.waiting.pop_back();
  static_cast<void>(play.decide());
  play.charge({.client = kA, .prompt_tokens = 300});
  play.wait(kB);
  static_cast<void>(play.decide());
  EXPECT_EQ(play.policy.served(kB), play.policy.served(kA) - 396) << "what is left, and what it has not used since";
}

TEST(FairSharePolicy, GivesTheWholeStepToAClientWithCredit) {
  FairShareCase play;
  play.wait(kB);
  static_cast<void>(play.decide());
  play.waiting.clear();
  play.wait(kA, 1000);
  static_cast<void>(play.decide());
  play.charge({.client = kA, .prompt_tokens = 5000});
  static_cast<void>(play.decide());
  play.wait(kB, 1000);
  static_cast<void>(play.decide());
  EXPECT_EQ(play.policy.prompt_tokens(play.waiting[0], 64), 0);
  EXPECT_EQ(play.policy.prompt_tokens(play.waiting[1], 64), 64);
}

TEST(FairSharePolicy, KeepsNoDebtOfAClientThatWasServedAlone) {
  FairShareCase play;
  play.wait(kA);
  static_cast<void>(play.decide());
  play.waiting.clear();
  play.run(kA);
  static_cast<void>(play.decide());
  play.charge({.client = kA, .prompt_tokens = 1'000'000});
  play.running.clear();
  static_cast<void>(play.decide());
  play.wait(kB);  // a newcomer, while A is away
  static_cast<void>(play.decide());
  play.charge({.client = kB, .prompt_tokens = 500});
  play.wait(kA);
  static_cast<void>(play.decide());
  EXPECT_EQ(play.policy.served(kA), 1'000'000) << "a credit of what B got since then";
  EXPECT_EQ(play.policy.served(kB), 1'000'000 + 500);
}

TEST(FairSharePolicy, LetsNoLongPromptTakeAStepFromOthers) {
  FairShareCase play;
  play.run(kA, 100'000);
  play.run(kB, 20);
  play.wait(kC, 100);
  static_cast<void>(play.decide());
  EXPECT_EQ(play.policy.prompt_tokens(play.running[0], 64), 22);
  EXPECT_EQ(play.policy.prompt_tokens(play.running[1], 42), 20);
  EXPECT_EQ(play.policy.prompt_tokens(play.waiting[0], 22), 22);
  EXPECT_EQ(play.policy.prompt_tokens(play.waiting[0], 0), 0);
}

TEST(FairSharePolicy, GivesPromptTokensToWhoGotLeast) {
  FairShareCase play;
  play.wait(kA, 1000);
  play.wait(kB, 1000);
  static_cast<void>(play.decide());
  play.charge({.client = kA, .prompt_tokens = 40});
  static_cast<void>(play.decide());
  EXPECT_EQ(play.policy.prompt_tokens(play.waiting[1], 64), 52);
  EXPECT_EQ(play.policy.prompt_tokens(play.waiting[0], 12), 12);
}

TEST(FairSharePolicy, KeepsAPlaceForAClientThatHasNone) {
  FairShareCase play;
  for (int i = 0; i < 8; ++i) play.run(kA);
  play.wait(kB);
  play.wait(kB);
  EXPECT_EQ(play.decide().places_kept, 2);
  play.waiting.clear();
  play.wait(kA);
  EXPECT_EQ(play.decide().places_kept, 0);
}

TEST(FairSharePolicy, PausesFirstWhatAClientHasBeyondItsPart) {
  FairShareCase play;
  play.run(kA);
  for (int i = 0; i < 5; ++i) play.run(kB);
  for (int i = 0; i < 4; ++i) play.run(kA);
  EXPECT_THAT(play.decide().running, ElementsAre(0, 1, 2, 3, 4, 6, 7, 8, 5, 9)) << "the fifth of each is last";
  play.charge({.client = kB, .output_tokens = 1});
  EXPECT_THAT(play.decide().running, ElementsAre(0, 1, 2, 3, 4, 6, 7, 8, 9, 5));
}

TEST(FairSharePolicy, ForgetsClientsThatAreGone) {
  FairShareCase play;
  for (std::uint64_t client = 1; client <= 20'000; ++client) {
    play.waiting.clear();
    play.wait(ClientId{client});
    static_cast<void>(play.decide());
    play.charge({.client = ClientId{client}, .prompt_tokens = 4});
  }
  EXPECT_LT(play.policy.client_count(), 1000u);
}

TEST(FairSharePolicy, KeepsTheCreditOfAClientThatAsksRegularlyAmongManyOthers) {
  FairShareCase play;
  for (std::uint64_t client = 1; client <= 20'000; ++client) {
    play.waiting.clear();
    play.wait(kA);
    play.wait(ClientId{100 + client});
    if (client % 100 == 0) play.wait(kB);
    static_cast<void>(play.decide());
    const double level = std::min(play.policy.served(kA), play.policy.served(ClientId{100 + client}));
    if (client > 100 && client % 100 == 0) {
      EXPECT_LE(play.policy.served(kB), level - 1000) << client;
    }
    play.charge({.client = kA, .prompt_tokens = 40});
    play.charge({.client = ClientId{100 + client}, .prompt_tokens = 40});
  }
  EXPECT_LT(play.policy.client_count(), 1000u);
}

SequenceRequest request_of(std::uint64_t id, ClientId client) {
  SequenceRequest request = Play::request(id, {1, 2, static_cast<TokenId>(id)}, 20);
  request.client = client;
  return request;
}

// All places are in use and all pages are enough: another client starts in the next step, and who paused goes on afterwards.
TEST(FairSharePolicy, StartsAnotherClientAtOnceWhenOneHasAllPlaces) {
  SchedulerOptions options = small_options();
  options.page_count = 400;
  Play play(options, std::make_unique<FairSharePolicy>());
  for (std::uint64_t id = 1; id <= 40; ++id) ASSERT_TRUE(play.add(request_of(id, kA)));
  for (int i = 0; i < 6; ++i) play.step();
  ASSERT_EQ(play.spans().size(), 8u);
  ASSERT_TRUE(play.add(request_of(99, kB)));
  const Spans spans = (play.step(), play.spans());
  EXPECT_EQ(spans.size(), 8u) << "no more than there are places";
  EXPECT_EQ(spans.back(), (std::pair<std::uint64_t, std::int32_t>{99, 3}));
  EXPECT_EQ(play.scheduler.stats().running, 9u) << "one pauses";
  EXPECT_EQ(play.scheduler.stats().preemptions, 0u);
  play.run_dry();
}

// Its adapter begins to load at once, though the prompts of others could use all tokens of the step.
TEST(FairSharePolicy, AdmitsAClientWhoseAdapterIsAbsentInItsTurn) {
  SchedulerOptions options = small_options();
  options.page_count = 400;
  options.prefetched_sequences = 0;
  Play play(options, std::make_unique<FairSharePolicy>());
  ASSERT_TRUE(play.add(request_of(1, kA)));
  ASSERT_TRUE(play.add(request_of(2, kB)));
  play.step();
  for (const auto& [id, client] : {std::pair(std::uint64_t{3}, kA), {4, kB}, {5, kC}}) {
    SequenceRequest request = Play::request(id, std::vector<TokenId>(40, 5), 20);
    request.client = client;
    if (client == kC) request.adapter = AdapterId{1};
    if (client == kC) request.adapter_page_count = 3;
    ASSERT_TRUE(play.add(std::move(request)));
  }
  EXPECT_EQ(play.step().loads.size(), 1u);
  EXPECT_EQ(play.spans(), (Spans{{1, 1}, {2, 1}, {3, 7}, {4, 7}})) << "what is loading takes no tokens from others";
  play.scheduler.adapter_landed(AdapterId{1});
  play.run_dry();
}

// The part of all prompt tokens that a client gets which always has one request of 100 tokens, next to one with a long queue of them. It
// calls itself by another name in each of its requests, or not.
double part_of_closed_loop(const std::function<ClientId(std::uint64_t id)>& name) {
  SchedulerOptions options = small_options();
  options.page_count = 1000;
  Play play(options, std::make_unique<FairSharePolicy>());
  const auto add = [&](std::uint64_t id, ClientId client) {
    SequenceRequest request = Play::request(id, std::vector<TokenId>(100, static_cast<TokenId>(id)), 1);
    request.client = client;
    ASSERT_TRUE(play.add(std::move(request)));
  };
  constexpr std::uint64_t kFirst = 1'000'000;  // of the closed loop
  constexpr int kSteps = 4000;
  std::uint64_t next_of_queue = 1, next = kFirst;
  std::int64_t tokens = 0, closed_loop_tokens = 0;
  for (int i = 0; i < kSteps; ++i) {
    if (i == 200) add(next, name(next));
    while (next_of_queue < 10 || play.scheduler.stats().waiting < 5) add(next_of_queue++, kA);
    play.step();
    for (const PlannedSpan& span : play.latest.spans) {
      tokens += i >= 200 ? span.token_count : 0;
      closed_loop_tokens += span.sequence.value >= kFirst ? span.token_count : 0;
    }
    for (const auto& [id, reason] : play.take_ended()) {
      if (id != next) continue;
      ++next;
      add(next, name(next));
    }
  }
  return static_cast<double>(closed_loop_tokens) / static_cast<double>(tokens);
}

TEST(FairSharePolicy, GivesAClosedLoopHalf) {
  const double part = part_of_closed_loop([](std::uint64_t) { return kB; });
  EXPECT_LT(part, 0.51);
  EXPECT_GT(part, 0.45);
}

TEST(FairSharePolicy, GivesHalfToANewClientForEachRequest) {
  const double part = part_of_closed_loop([](std::uint64_t id) { return ClientId{id}; });
  EXPECT_LT(part, 0.51);
  EXPECT_GT(part, 0.45);
}

// What is kept for the queue goes back to who runs if nobody takes it.
TEST(FairSharePolicy, LeavesNoPlaceUnused) {
  SchedulerOptions options = small_options();
  options.page_count = 48;
  Play play(options, std::make_unique<FairSharePolicy>());
  for (std::uint64_t id = 1; id <= 8; ++id) ASSERT_TRUE(play.add(request_of(id, kA)));
  for (int i = 0; i < 6; ++i) play.step();
  SequenceRequest large = Play::request(99, std::vector<TokenId>(150, 5), 20);  // does not fit yet
  large.client = kB;
  ASSERT_TRUE(play.add(large));
  EXPECT_EQ((play.step(), play.spans().size()), 8u);
  play.run_dry();
}

}  // namespace
}  // namespace slora
