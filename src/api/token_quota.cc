#include "api/token_quota.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace slora {
namespace {

constexpr double kMinuteSeconds = 60;

}  // namespace

TokenQuota::TokenQuota(std::uint64_t tokens_per_minute)
    : tokens_per_minute_(tokens_per_minute), left_(static_cast<double>(tokens_per_minute)) {
  slora::check(tokens_per_minute > 0, "expected a quota of at least one token");
}

double TokenQuota::left_at(Timestamp now) const {
  const auto all = static_cast<double>(tokens_per_minute_);
  return std::min(left_ + all / kMinuteSeconds * std::max(seconds(now - left_at_), 0.0), all);
}

Status TokenQuota::check(Timestamp now) const {
  if (left_at(now) > 0) return {};
  return error("token_quota_exceeded",
               "The quota of this key, {} tokens per minute of prompts and outputs (tokens_per_minute), is used up; try again in {} s.",
               tokens_per_minute_, seconds_to_wait(now));
}

void TokenQuota::take(std::uint64_t tokens, Timestamp now) {
  left_ = left_at(now) - static_cast<double>(tokens);
  left_at_ = std::max(now, left_at_);
}

int TokenQuota::seconds_to_wait(Timestamp now) const {
  const double left = left_at(now);
  if (left > 0) return 0;
  const double wait = -left / static_cast<double>(tokens_per_minute_) * kMinuteSeconds;
  constexpr double wait_max = 86400;
  return static_cast<int>(std::floor(std::min(wait, wait_max))) + 1;  // so long that something is left, not 0
}

}  // namespace slora
