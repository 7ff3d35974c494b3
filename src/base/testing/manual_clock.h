#pragma once
#include "base/clock.h"

namespace slora {

// A clock that stands still until a test sets it. Not for several threads at a time.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] Timestamp now() const override { return time; }

  Timestamp time{1};
};

}  // namespace slora
