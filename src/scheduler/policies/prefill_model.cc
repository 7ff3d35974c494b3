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

void PrefillModel::note(std::int64_t prompt_tokens, Timestamp elapsed) {
  (prompt_tokens > 0 ? prompt_steps_ : other_steps_).add(static_cast<double>(prompt_tokens), static_cast<double>(elapsed.count()));
}

Timestamp PrefillModel::time_of(std::int64_t prompt_tokens, std::int32_t step_tokens) const {
  if (prompt_tokens <= 0) return {};
  if (!is_measured()) return assumed_;
  const double step_time = std::min(other_steps_.nanoseconds, prompt_steps_.nanoseconds);
  const double token_time = (prompt_steps_.nanoseconds - step_time) / prompt_steps_.tokens;
  const auto step_count = static_cast<double>((prompt_tokens + step_tokens - 1) / step_tokens);
  constexpr double kLongest = 1e14;  // over a day: so that it may be added to any deadline
  return Timestamp{std::llround(std::min(step_count * step_time + static_cast<double>(prompt_tokens) * token_time, kLongest))};
}

}  // namespace slora
