#include "scheduler/policies/prefill_model.h"

#include <algorithm>
#include <cmath>

namespace slora {

void PrefillModel::Means::add(double more_tokens, double more_nanoseconds) {
  count = std::min(count + 1, kStepsMin);
  weight = kKept * weight + 1;
  tokens += (more_tokens - tokens) / weight;
  nanoseconds += (more_nanoseconds - nanoseconds) / weight;
}

void PrefillModel::note(const MeasuredStep& step) {
  const auto [prompt_tokens, elapsed] = step;
  Means& means = prompt_tokens > 0 ? prompt_steps_ : other_steps_;
  double nanoseconds = static_cast<double>(elapsed.count());
  if (means.count >= kStepsMin) {
    const double expected = prompt_tokens > 0 ? nanoseconds_of(prompt_tokens, 1) : other_steps_.nanoseconds;
    if (nanoseconds < expected / kMuchFaster) means.weight = std::min(means.weight, 1.0);
    if (expected > 0) nanoseconds = std::min(nanoseconds, kSlowest * expected);
  }
  means.add(static_cast<double>(prompt_tokens), nanoseconds);
}

Timestamp PrefillModel::time_of(std::int64_t prompt_tokens, std::int32_t step_tokens) const {
  if (prompt_tokens <= 0) return {};
  if (!is_measured()) return assumed_;
  constexpr double kLongest = 1e14;  // over a day: so that it may be added to any deadline
  return Timestamp{std::llround(std::min(nanoseconds_of(prompt_tokens, (prompt_tokens + step_tokens - 1) / step_tokens), kLongest))};
}

double PrefillModel::nanoseconds_of(std::int64_t prompt_tokens, std::int64_t step_count) const {
  return static_cast<double>(step_count) * step_nanoseconds() + static_cast<double>(prompt_tokens) * token_nanoseconds();
}

std::int32_t PrefillModel::tokens_in(Timestamp time) const {
  constexpr double kMost = 1 << 30;
  const double left = std::max(static_cast<double>(time.count()) - step_nanoseconds(), 0.0);
  return static_cast<std::int32_t>(std::min(left / std::max(token_nanoseconds(), 1e-6), kMost));
}

double PrefillModel::step_nanoseconds() const { return std::min(other_steps_.nanoseconds, prompt_steps_.nanoseconds); }

double PrefillModel::token_nanoseconds() const { return (prompt_steps_.nanoseconds - step_nanoseconds()) / prompt_steps_.tokens; }

}  // namespace slora
