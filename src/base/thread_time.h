#pragma once
#include <time.h>

#include "base/clock.h"

namespace slora {

// How long the calling thread has computed: a thread that others keep from running is not slow.
inline Timestamp thread_time() {
  timespec now{};
  (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + Timestamp(now.tv_nsec);
}

}  // namespace slora
