#pragma once
#include <chrono>
#include <functional>
#include <optional>

#include "base/ids.h"

namespace slora {

// A refusal for now: whose it is, and when its connection was told to try again if its request before was refused, too.
struct RefusedRequest {
  int status = 0;
  TenantId tenant;
  std::optional<std::chrono::steady_clock::time_point> told;
};

// When it should be tried again.
using RetryTime = std::function<std::chrono::steady_clock::time_point(const RefusedRequest&)>;

}  // namespace slora
