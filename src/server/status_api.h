#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/runtime.h"
#include "server/http_types.h"
#include "server/job_table.h"

namespace slora {

// The endpoints that tell about the server. I/O thread.
class StatusApi {
 public:
  // What it borrows outlives it. `model_names` are the base's; the first is shown.
  StatusApi(std::vector<std::string> model_names, Runtime& runtime, const JobTable& jobs);

  void models(const std::shared_ptr<Exchange>& exchange) const;
  // Healthy is an engine whose loop turns, not an HTTP thread that answers.
  void health(const std::shared_ptr<Exchange>& exchange) const;
  void metrics(const std::shared_ptr<Exchange>& exchange) const;
  void version(const std::shared_ptr<Exchange>& exchange) const;
  void ping(const std::shared_ptr<Exchange>& exchange) const;

  void begin_drain() { draining_ = true; }

 private:
  const std::vector<std::string> model_names_;
  Runtime& runtime_;
  const JobTable& jobs_;
  const std::int64_t created_seconds_;
  bool draining_ = false;
};

}  // namespace slora
