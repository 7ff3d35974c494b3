#include "adapters/adapter_account.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(AdapterAccount, CountsForItselfAndForTheTotal) {
  const auto total = std::make_shared<AdapterAccount>();
  AdapterAccount one(total), other(total);
  one.add(AdapterFigure::prompt_tokens, 7);
  other.add(AdapterFigure::prompt_tokens, 5);
  one.observe_first_token(0.03);
  other.observe_first_token(60);
  EXPECT_EQ(one.figures()[AdapterFigure::prompt_tokens], 7U);
  EXPECT_EQ(total->figures()[AdapterFigure::prompt_tokens], 12U);
  EXPECT_EQ(one.figures().first_tokens[2], 1U) << "up to 0.05 s";
  EXPECT_EQ(total->figures().first_tokens.back(), 1U) << "longer than all ranges";
  EXPECT_EQ(total->figures()[AdapterFigure::first_token_microseconds], 60'030'000U);

  AdapterFigures sum = one.figures();
  sum += other.figures();
  EXPECT_EQ(sum, total->figures());
  sum -= other.figures();
  EXPECT_EQ(sum, one.figures());
}

TEST(AdapterAccount, ForgetsRequestsWithTime) {
  AdapterAccount account;
  const Timestamp begin = std::chrono::hours(1);
  for (int i = 0; i < 8; ++i) account.note_request(begin);
  account.note_use(begin + std::chrono::minutes(10));
  EXPECT_EQ(account.figures()[AdapterFigure::requests], 8U);
  EXPECT_EQ(account.used_at(), begin + std::chrono::minutes(10));
  EXPECT_DOUBLE_EQ(account.recent_requests(begin + std::chrono::minutes(10)), 4);
  EXPECT_DOUBLE_EQ(account.recent_requests(begin + std::chrono::minutes(30)), 1);
}

TEST(AdapterAccount, KnowsNeverFromAsTheServerSays) {
  AdapterAccount account;
  EXPECT_FALSE(account.idle_time());
  account.set_idle_time(Timestamp(0));
  EXPECT_EQ(account.idle_time(), Timestamp(0));
  account.set_idle_time(std::nullopt);
  EXPECT_FALSE(account.idle_time());
}

}  // namespace
}  // namespace slora
