#include "http/retry_estimate.h"

#include <algorithm>
#include <cmath>

namespace slora {

void RetryEstimate::look(TimePoint now, TokenWork work) {
  const double passed = std::min(std::chrono::duration<double>(now - looked_at_).count(), 1.0);
  const auto tokens = static_cast<double>(work.done - work_.done);
  if (work_.left > 0 || tokens > 0) {  // an idle server is not slow
    for (Rate* rate : {&short_, &long_}) rate->add(tokens, passed);
  }
  looked_at_ = now;
  work_ = work;
}

int RetryEstimate::seconds() const {
  const double rate = std::max(short_.tokens_per_second(), long_.tokens_per_second());
  if (rate <= 0) return 1;
  return static_cast<int>(std::clamp(std::ceil(static_cast<double>(work_.left) / rate), 1.0, double{kSecondsMax}));
}

void RetryEstimate::Rate::add(double more_tokens, double passed_seconds) {
  const double kept = std::exp(-passed_seconds / memory_seconds);
  tokens = tokens * kept + more_tokens;
  busy_seconds = busy_seconds * kept + passed_seconds;
}

}  // namespace slora
