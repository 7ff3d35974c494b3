#include "http/retry_estimate.h"

#include <algorithm>
#include <cmath>

namespace slora {
namespace {

constexpr double kSecondsFirst = 0.02;  // from place to place, before anything is known
// What less time shows is not the rate: the first prompts are computed, and memory is touched for the first time.
constexpr double kBusySecondsMin = 0.5;
// How often all that is there must be over until the last client comes. Many clients never come again, or ask at once and again: without
// this bound their times would add up for those that come later.
constexpr int kCrowdMax = 10;

}  // namespace

void RetryEstimate::look(TimePoint now, TokenWork work) {
  const double passed = std::min(std::chrono::duration<double>(now - looked_at_).count(), 1.0);
  const auto tokens = static_cast<double>(work.done - work_.done);
  if (work_.left > 0 || tokens > 0) {  // an idle server is not slow
    for (Rate* rate : {&short_, &long_}) rate->add(tokens, passed);
  }
  looked_at_ = now;
  work_ = work;
  if (work.request_count > 0) request_tokens_ = static_cast<double>(work.all) / static_cast<double>(work.request_count);
  const bool is_idle = work.left == 0;  // whoever comes now finds a place
  std::erase_if(latest_, [&](const auto& entry) { return is_idle || (entry.second.first <= now && entry.second.again <= now); });
}

double RetryEstimate::rate() const { return std::max(short_.tokens_per_second(), long_.tokens_per_second()); }

int RetryEstimate::seconds() const {
  if (rate() <= 0 || long_.busy_seconds < kBusySecondsMin) return 1;
  return static_cast<int>(std::clamp(std::ceil(static_cast<double>(work_.left) / rate()), 1.0, double{kSecondsMax}));
}

double RetryEstimate::seconds_per_request() const {
  const double rate = short_.tokens_per_second();
  if (rate <= 0 || long_.busy_seconds < kBusySecondsMin) return kSecondsFirst;
  const auto tenants = static_cast<double>(std::max<std::size_t>(work_.tenant_count, 1));  // each has its share of the rate
  // The rate fades while nothing is computed.
  return std::min(request_tokens_ * tenants / rate, double{kSecondsMax});
}

RetryEstimate::TimePoint RetryEstimate::appoint(TimePoint now, TenantId tenant, std::optional<TimePoint> given_before) {
  if (given_before && *given_before > now) return *given_before;
  Latest& latest = latest_[tenant];
  TimePoint& given = given_before ? latest.again : latest.first;
  const auto step = std::chrono::duration_cast<TimePoint::duration>(std::chrono::duration<double>(seconds_per_request()));
  given = std::min(std::max(given, now) + step, now + std::chrono::seconds(std::min(kCrowdMax * seconds(), kSecondsMax)));
  return given;
}

void RetryEstimate::Rate::add(double more_tokens, double passed_seconds) {
  const double kept = std::exp(-passed_seconds / memory_seconds);
  tokens = tokens * kept + more_tokens;
  busy_seconds = busy_seconds * kept + passed_seconds;
}

}  // namespace slora
