#include "http/retry_estimate.h"

#include <algorithm>
#include <cmath>

namespace slora {
namespace {

constexpr double kMemorySeconds = 30;  // after which what was seen counts 1/e

}  // namespace

void RetryEstimate::look(TimePoint now, std::uint64_t finished_count, std::size_t sequence_count) {
  const double passed = std::min(std::chrono::duration<double>(now - looked_at_).count(), 1.0);
  const auto finished = static_cast<double>(finished_count - finished_count_);
  if (sequence_count_ > 0 || finished > 0) {  // an idle server is not slow
    const double kept = std::exp(-passed / kMemorySeconds);
    busy_seconds_ = busy_seconds_ * kept + passed;
    finished_ = finished_ * kept + finished;
  }
  looked_at_ = now;
  finished_count_ = finished_count;
  sequence_count_ = sequence_count;
}

int RetryEstimate::seconds() const {
  if (finished_ <= 0) return 1;
  const double needed = static_cast<double>(sequence_count_) * busy_seconds_ / finished_;
  return static_cast<int>(std::clamp(std::ceil(needed), 1.0, double{kSecondsMax}));
}

}  // namespace slora
