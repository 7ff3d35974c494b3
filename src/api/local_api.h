#pragma once
#include <functional>
#include <memory>
#include <random>

#include "api/api.h"
#include "base/queue.h"
#include "formats/json.h"

namespace slora {

// The API for a program that has no event loop: answers are made on the thread that waits for them. One thread at a time.
// Destroying it stops the engine: the sinks of requests that still run receive nothing more, neither done() nor failed().
class LocalApi {
 public:
  // Reads the model and starts the engine.
  [[nodiscard]] static Result<std::unique_ptr<LocalApi>> create(ApiOptions options);

  // Answers one request, a body as the HTTP API takes it, and returns when `sink` has received done() or failed().
  void answer(Endpoint endpoint, const Json& request, AnswerSink& sink);

  // For several requests at once: start() each, then wait() until all sinks have their answers. The job may be used to cancel() the
  // request, until this API is destroyed.
  std::shared_ptr<GenerationJob> start(Endpoint endpoint, const Json& request, std::shared_ptr<AnswerSink> sink);
  // Returns when the engine has done a step for the requests that run, and their sinks have received its results; at once if none runs.
  void wait();

  [[nodiscard]] Api& api() { return *api_; }

 private:
  using Work = BoundedQueue<std::function<void()>>;

  LocalApi(std::unique_ptr<Work> posted, std::unique_ptr<Api> api) : posted_(std::move(posted)), api_(std::move(api)) {}

  const std::unique_ptr<Work> posted_;  // on the heap: the engine's thread refers to it
  const std::unique_ptr<Api> api_;
  std::mt19937_64 random_{std::random_device{}()};
};

}  // namespace slora
