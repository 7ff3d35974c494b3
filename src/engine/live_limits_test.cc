#include "engine/live_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>
#include <vector>

namespace slora {
namespace {

constexpr ClientId kFlooding{1}, kOther{2}, kThird{3};

std::vector<LiveLimits::Place> take_all(LiveLimits& limits, ClientId client, std::size_t prompt_tokens, std::string& code) {
  std::vector<LiveLimits::Place> places;
  for (;;) {
    Result<LiveLimits::Place> place = limits.try_take(client, prompt_tokens);
    if (!place) {
      code = place.error().code;
      return places;
    }
    places.push_back(std::move(*place));
  }
}

TEST(LiveLimits, NoClientCanTakeThePlacesOfOthers) {
  LiveLimits limits({.sequences_max = 100, .tokens_max = 100000, .client_sequences_max = 100});
  std::string code;
  const auto first = take_all(limits, kFlooding, 1, code);
  EXPECT_EQ(code, "client_queue_full");
  EXPECT_EQ(first.size(), 50u) << "half";
  const auto second = take_all(limits, kOther, 1, code);
  EXPECT_EQ(code, "client_queue_full");
  EXPECT_EQ(second.size(), 25u) << "half of what was left";
  EXPECT_EQ(limits.try_take(kFlooding, 1).error().code, "client_queue_full");
  EXPECT_TRUE(limits.try_take(kThird, 1));
}

TEST(LiveLimits, NoClientCanTakeTheTokensOfOthers) {
  LiveLimits limits({.sequences_max = 1000, .tokens_max = 1000, .client_sequences_max = 1000});
  std::string code;
  const auto first = take_all(limits, kFlooding, 10, code);
  EXPECT_EQ(code, "client_queue_full");
  EXPECT_EQ(first.size(), 50u);
  EXPECT_TRUE(limits.try_take(kOther, 500)) << "a client's first prompt may take all that is free";
  EXPECT_EQ(limits.try_take(kOther, 501).error().code, "queue_full");
}

TEST(LiveLimits, AClientHasNoMoreThanItsBound) {
  LiveLimits limits({.sequences_max = 100, .tokens_max = 1000, .client_sequences_max = 7});
  std::string code;
  EXPECT_EQ(take_all(limits, kFlooding, 1, code).size(), 7u);
  EXPECT_EQ(code, "client_queue_full");
}

TEST(LiveLimits, OneClientMayTakeAllWithoutABoundPerClient) {
  LiveLimits limits({.sequences_max = 100, .tokens_max = 1000, .client_sequences_max = std::nullopt});
  std::string code;
  EXPECT_EQ(take_all(limits, kFlooding, 1, code).size(), 100u);
  EXPECT_EQ(code, "queue_full");
}

// Against a model of it: places are taken, moved, replaced and dropped at random.
TEST(LiveLimits, CountsEachPlaceOnceHoweverItEnds) {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&](std::size_t count) { return static_cast<std::size_t>(random()) % count; };
    const LiveLimits::Options options{.sequences_max = 5 + below(40), .tokens_max = 50 + below(500), .client_sequences_max = 1 + below(40)};
    LiveLimits limits(options);
    struct Taken {
      ClientId client;
      std::size_t tokens;
      LiveLimits::Place place;
    };
    std::vector<Taken> taken;
    const auto count_of = [&](ClientId client) { return std::ranges::count(taken, client, &Taken::client); };
    for (int step = 0; step < 2000; ++step) {
      if (below(5) < 3) {
        const ClientId client{below(1 + seed % 7 * 20)};
        const std::size_t tokens = 1 + below(20), free = options.sequences_max - taken.size();
        std::size_t own_tokens = 0, all_tokens = 0;
        for (const Taken& other : taken) {
          all_tokens += other.tokens;
          if (other.client == client) own_tokens += other.tokens;
        }
        const auto own = static_cast<std::size_t>(count_of(client));
        const bool fits_all = taken.size() < options.sequences_max && all_tokens + tokens <= options.tokens_max;
        const bool fits_own =
            own == 0 || (own < std::min(*options.client_sequences_max, free) && own_tokens + tokens <= options.tokens_max - all_tokens);
        ASSERT_EQ(limits.check(client, {1, tokens, tokens}).has_value(), fits_all && fits_own);
        Result<LiveLimits::Place> place = limits.try_take(client, tokens);
        ASSERT_EQ(place.has_value(), fits_all && fits_own);
        if (place) {
          taken.push_back({client, tokens, std::move(*place)});
        } else {
          ASSERT_EQ(place.error().code, fits_all ? "client_queue_full" : "queue_full");
        }
      } else if (!taken.empty()) {
        taken[below(taken.size())] = std::move(taken.back());  // the one in between ends
        taken.pop_back();
      }
      ASSERT_EQ(limits.sequence_count(), taken.size());
    }
    taken.clear();
    EXPECT_EQ(limits.sequence_count(), 0u);
    EXPECT_EQ(limits.token_count(), 0u);
  }
}

// Places for all of them, one after the other, whatever else there is.
TEST(LiveLimits, SaysWhetherSeveralWouldFit) {
  std::size_t fit_count = 0, refused_count = 0, never_count = 0;
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&](std::size_t count) { return static_cast<std::size_t>(random()) % count; };
    LiveLimits::Options options{.sequences_max = 5 + below(40), .tokens_max = 20 + below(400)};
    if (below(4) > 0) options.client_sequences_max = 1 + below(40);
    LiveLimits limits(options), unused(options);
    std::vector<LiveLimits::Place> places;
    for (std::size_t i = below(30); i > 0; --i) {
      if (Result<LiveLimits::Place> place = limits.try_take(ClientId{below(3)}, 1 + below(10))) places.push_back(std::move(*place));
    }
    const ClientId client{below(4)};
    std::vector<std::size_t> prompts(1 + below(20));
    QueueDemand demand{.sequences = prompts.size(), .prompt_tokens = 0};
    for (std::size_t& tokens : prompts) demand.prompt_tokens += tokens = 1 + below(30);
    demand.last_prompt_tokens = prompts.back();
    const auto take_all_prompts = [&](LiveLimits& from) {
      std::vector<LiveLimits::Place> taken;
      for (const std::size_t tokens : prompts) {
        Result<LiveLimits::Place> place = from.try_take(client, tokens);
        if (!place) return false;
        taken.push_back(std::move(*place));
      }
      return true;
    };
    const Status verdict = limits.check(client, demand);
    EXPECT_EQ(verdict.has_value(), take_all_prompts(limits));
    if (verdict) {
      ++fit_count;
      continue;
    }
    const bool is_never = verdict.error().code.starts_with("too_many_");
    EXPECT_EQ(!is_never, take_all_prompts(unused)) << verdict.error().message;
    ++(is_never ? never_count : refused_count);
  }
  EXPECT_GT(fit_count, 100u);
  EXPECT_GT(refused_count, 100u);
  EXPECT_GT(never_count, 100u);
}

TEST(LiveLimits, NamesTheLimitAndWhatWasAskedFor) {
  LiveLimits limits({.sequences_max = 100, .tokens_max = 1000, .client_sequences_max = 100});
  const auto message_of = [&](const QueueDemand& demand) { return limits.check(kFlooding, demand).error().message; };
  EXPECT_EQ(message_of({51, 51, 1}), "expected at most 50 sequences in one request, found 51");
  EXPECT_EQ(message_of({2, 1400, 700}), "expected prompts of at most 850 tokens in all 2 sequences of the request together, found 1400");
  EXPECT_EQ(limits.check(kFlooding, {2, 900, 450}).error().code, "too_many_prompt_tokens")
      << "the second would find 550 free, and have 900";
  EXPECT_TRUE(limits.check(kFlooding, {2, 666, 333}));
  const Result<LiveLimits::Place> held = limits.try_take(kFlooding, 1);
  EXPECT_THAT(message_of({50, 50, 1}), ::testing::HasSubstr("has 1 sequences that run or wait, and requests 50 more"));
  EXPECT_EQ(limits.try_take(kOther, 1001).error().code, "too_many_prompt_tokens");
}

TEST(LiveLimits, CountsPlacesThatOtherThreadsGiveBack) {
  LiveLimits limits({.sequences_max = 64, .tokens_max = 1000, .client_sequences_max = 64});
  const auto take_and_drop = [&](std::uint64_t first_client) {
    for (std::uint64_t i = 0; i < 1000; ++i) {
      Result<LiveLimits::Place> place = limits.try_take(ClientId{first_client + i % 300}, 1);
      ASSERT_TRUE(place) << place.error().message;
      std::jthread([held = std::move(*place)] {}).join();
      if (i % 100 == 0) EXPECT_LE(limits.sequence_count(), 2u);
    }
  };
  {
    const std::jthread other([&] { take_and_drop(1000); });
    take_and_drop(1);
  }
  EXPECT_EQ(limits.sequence_count(), 0u);
  EXPECT_EQ(limits.token_count(), 0u);
}

}  // namespace
}  // namespace slora
