#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/job_table.h"
#include "api/request_metrics.h"
#include "base/clock.h"
#include "engine/runtime.h"
#include "http/adapter_metrics.h"
#include "http/answer_pool.h"
#include "http/cached_body.h"
#include "http/recent_rate.h"
#include "http/types.h"

namespace slora {

// The names of the base model.
struct ModelNames {
  std::vector<std::string> all;  // [1..] accepted in requests; the first is used in answers
  std::size_t listed_count = 1;  // how many of them, from the first on, GET /v1/models lists
};

// The endpoints about the server's state. I/O thread.
class StatusRoutes {
 public:
  // What it borrows outlives it. `request_count` returns how many requests for generation are not answered yet; `named_adapters_max`: see
  // AdapterMetrics.
  StatusRoutes(ModelNames names, Runtime& runtime, const JobTable& jobs, const RequestMetrics& requests,
               std::function<std::size_t()> request_count, std::size_t named_adapters_max, PostToIo post);

  // Called every second, for the rates of /load and the gauges of this process.
  void look();

  void models(const std::shared_ptr<Exchange>& exchange);
  // The model that the rest of the path names.
  void model(const std::shared_ptr<Exchange>& exchange) const;
  // Healthy means that the engine's loop makes progress, not merely that the HTTP thread answers.
  void health(const std::shared_ptr<Exchange>& exchange) const;
  // The same without a body.
  void ping(const std::shared_ptr<Exchange>& exchange) const;
  // Without the names of adapters for those who may not see them.
  void metrics(const std::shared_ptr<Exchange>& exchange);
  // Requests that are not answered yet, as vLLM's; and in numbers how the server has been doing.
  void load(const std::shared_ptr<Exchange>& exchange) const;
  void version(const std::shared_ptr<Exchange>& exchange) const;
  // For load balancers that ask for nothing else.
  void root(const std::shared_ptr<Exchange>& exchange) const;

  void begin_drain() { draining_ = true; }
  // Why the engine does not work; nothing when it does.
  void set_trouble(std::optional<Error> trouble) { trouble_ = std::move(trouble); }

 private:
  [[nodiscard]] Status check_health() const;
  // Any thread.
  [[nodiscard]] CachedBody::Body format_models(const ModelAccess& access) const;
  void append_model(std::string& out, std::string_view name, std::string_view parent, std::int32_t context_tokens_max) const;
  [[nodiscard]] bool is_base(std::string_view name) const;

  const ModelNames names_;
  Runtime& runtime_;
  const JobTable& jobs_;
  const RequestMetrics& requests_;
  const std::function<std::size_t()> request_count_;
  AdapterMetrics adapter_metrics_;
  Gauge& resident_bytes_;
  RecentRate served_, output_tokens_;
  const std::int64_t created_seconds_;
  std::optional<Error> trouble_;
  bool draining_ = false;
  CachedBody models_;   // of keys that may name every model
  AnswerPool listing_;  // of the others. Both last: they format with the members above
};

}  // namespace slora
