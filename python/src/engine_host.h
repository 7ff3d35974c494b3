#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "answer_queue.h"
#include "api/api.h"
#include "base/queue.h"
#include "base/result.h"
#include "base/work_pool.h"
#include "queue_sink.h"

namespace slora::python {

struct HostStats {
  std::uint64_t steps = 0;
  std::size_t running = 0, waiting = 0;
  std::uint64_t adapter_queries = 0, adapter_hits = 0, adapter_loads = 0, adapter_evictions = 0;
  std::uint64_t prefix_query_tokens = 0, prefix_hit_tokens = 0;
  std::size_t adapters_resident = 0;
  std::uint64_t pool_bytes = 0, pool_bytes_used = 0;  // used: not free; cached prefixes and idle adapters count
};

// An Api with the threads that a program without an event loop of its own needs: one runs the jobs, others prepare requests. Owned by a
// Python object; any thread. Once closed, calls are refused with "closed".
class EngineHost {
 public:
  struct Submission {
    std::uint64_t request = 0;  // of the caller's choice, unique among the requests that run
    Endpoint endpoint = Endpoint::completions;
    std::string body;  // JSON, as the HTTP API takes it
    Delivery delivery = Delivery::whole;
    std::shared_ptr<AnswerQueue> queue;  // shared: a request may outlive the Python object that reads it
  };

  // Reads the model and starts the engine.
  [[nodiscard]] static Result<std::unique_ptr<EngineHost>> create(ApiOptions options);
  ~EngineHost();
  EngineHost(const EngineHost&) = delete;
  EngineHost& operator=(const EngineHost&) = delete;

  // Ends the requests that run with the error "closed" and stops all threads.
  void close();
  [[nodiscard]] bool is_closed() const { return is_closing_; }

  // Everything else about the request arrives in its queue.
  [[nodiscard]] Status submit(Submission submission);
  // The queue receives nothing more for this request. Unknown ones are ignored.
  void cancel(std::uint64_t request);

  // Reads the whole folder and serves it under a free name.
  [[nodiscard]] Status add_adapter(const std::string& name, const std::string& folder);
  [[nodiscard]] Status remove_adapter(const std::string& name);
  [[nodiscard]] Result<std::vector<AdapterListing>> adapters() const;

  // With the tokenizer of an adapter; an empty name: the base model's.
  [[nodiscard]] Result<std::vector<TokenId>> encode(const std::string& model, std::string_view text, SpecialTokens special) const;
  [[nodiscard]] Result<std::string> decode(const std::string& model, const std::vector<TokenId>& tokens, SpecialText special) const;
  // How many tokens fit after a prompt of this length.
  [[nodiscard]] Result<std::int32_t> output_tokens_that_fit(const std::string& model, std::int32_t prompt_tokens) const;

  [[nodiscard]] Result<HostStats> stats() const;
  // What the model, the backend and the pool are; one line each.
  [[nodiscard]] Result<std::vector<std::string>> summary() const;

 private:
  using Work = std::function<void()>;
  struct Running {
    std::shared_ptr<GenerationJob> job;
    std::shared_ptr<AnswerQueue> queue;
  };

  EngineHost();

  // Does nothing once the jobs' thread ends.
  void post(Work work);
  void run_jobs();
  void watch();
  void end_all(const Error& error);
  void finish(std::uint64_t request);
  void start(std::uint64_t request, Result<PreparedRequest> prepared);
  // The base model's for an empty name.
  [[nodiscard]] Result<std::shared_ptr<const AdapterVersion>> version_of(const std::string& model) const;
  [[nodiscard]] Result<std::shared_ptr<const TextModel>> text_of(const std::string& model) const;
  [[nodiscard]] Status check_open() const;

  std::unique_ptr<BoundedQueue<Work>> posted_;  // on the heap: the engine's thread refers to it
  std::unique_ptr<Api> api_;                    // null once closed
  mutable std::shared_mutex open_mutex_;        // held, shared, by calls that use api_; alone by close()
  std::atomic<bool> is_closing_{false};

  // Of the jobs' thread.
  std::unordered_map<std::uint64_t, Running> running_;
  std::vector<std::uint64_t> finished_;  // to be removed from running_ once no function of their job runs
  std::mt19937_64 random_{std::random_device{}()};

  std::mutex watch_mutex_;
  std::condition_variable watch_ended_;
  std::unique_ptr<WorkPool> preparing_;
  std::thread jobs_thread_, watch_thread_;
};

// Whether a body is a request of this form, as far as that can be said without a model.
[[nodiscard]] Status check_request(Endpoint endpoint, const std::string& body);

}  // namespace slora::python
