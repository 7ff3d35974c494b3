#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/runtime.h"
#include "http/answer_pool.h"
#include "http/types.h"

namespace slora {

// SGLang's endpoints about the server and its model, and the one that empties the caches between benchmarks. I/O thread.
class InfoRoutes {
 public:
  // `runtime` outlives it; `model_path` is the base model's folder as the operator wrote it.
  InfoRoutes(std::string model_name, std::string model_path, Runtime& runtime, AnswerPool::Post post);

  void model(const std::shared_ptr<Exchange>& exchange) const;
  void server(const std::shared_ptr<Exchange>& exchange) const;
  // Drops all cached prefixes and idle adapters; refuses while sequences run or wait.
  void flush_cache(const std::shared_ptr<Exchange>& exchange);
  // Steps are planned no more until resume(); answers once nothing is computed any more.
  void pause(const std::shared_ptr<Exchange>& exchange);
  void resume(const std::shared_ptr<Exchange>& exchange);
  void is_paused(const std::shared_ptr<Exchange>& exchange) const;
  // Answers those that wait for the engine.
  void fail_flushes(const Error& error);

 private:
  using OnDone = std::function<void(Status)>;
  void answer_after(const std::shared_ptr<Exchange>& exchange, const std::function<void(OnDone)>& start, std::string_view done);
  void note_waiting(const std::shared_ptr<Exchange>& exchange);

  const std::string model_name_, model_path_;
  Runtime& runtime_;
  const AnswerPool::Post post_;
  std::vector<std::weak_ptr<Exchange>> flushes_;  // that wait
};

}  // namespace slora
