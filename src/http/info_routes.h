#pragma once
#include <memory>
#include <string>
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
  // Answers those that wait for the engine.
  void fail_flushes(const Error& error);

 private:
  const std::string model_name_, model_path_;
  Runtime& runtime_;
  const AnswerPool::Post post_;
  std::vector<std::weak_ptr<Exchange>> flushes_;  // that wait
};

}  // namespace slora
