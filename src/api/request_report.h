#pragma once
#include <functional>
#include <optional>

#include "api/answer.h"
#include "api/api_error.h"
#include "api/request_metrics.h"
#include "base/clock.h"

namespace slora {

// How a request ended: for logs and traces. Of several sequences the times are those of the first one that got so far, and of the last
// token.
struct RequestReport {
  const Answer& answer;               // without a model_name: the request was refused before it was understood
  const ApiError* failure = nullptr;  // null: it was answered, or its client left
  bool client_left = false;
  RequestMetrics::Times times;  // zero: not reached
  Timestamp ended{};
  std::optional<float> adapter_load_seconds;  // of the load that it waited for
};

// Receives the report of a request when it has ended, on the jobs' thread. Throws nothing but std::bad_alloc.
using ReportRequest = std::function<void(const RequestReport&)>;

}  // namespace slora
