#include "http/recent_rate.h"

#include <cmath>

namespace slora {

void RecentRate::look(TimePoint now, std::uint64_t count) {
  if (looked_at_ != TimePoint{}) {
    const double passed = std::chrono::duration<double>(now - looked_at_).count();
    const double kept = std::exp(-passed / kMemorySeconds);
    happened_ = happened_ * kept + static_cast<double>(count - count_);
    seconds_ = seconds_ * kept + passed;
  }
  looked_at_ = now;
  count_ = count;
}

}  // namespace slora
