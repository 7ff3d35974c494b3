#pragma once
#include <chrono>
#include <functional>
#include <optional>

#include "base/ids.h"

namespace slora {

// A request that is refused for now, with 429 or 503.
struct RefusedRequest {
  int status = 0;
  TenantId tenant;
  // When its connection was to try again, if the request before was refused too.
  std::optional<std::chrono::steady_clock::time_point> given_before;
};

// When it should be tried again, which the client reads as Retry-After.
using RetryTime = std::function<std::chrono::steady_clock::time_point(const RefusedRequest&)>;

}  // namespace slora
