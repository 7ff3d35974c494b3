#include "engine_host.h"

#include <fmt/format.h>

#include <chrono>
#include <limits>
#include <utility>

#include "api/request_parser.h"
#include "base/caught.h"
#include "base/gate.h"

namespace slora::python {
namespace {

constexpr std::size_t kPreparingThreads = 2;
constexpr std::size_t kPreparingMax = 1 << 16;  // requests that wait for one of them
constexpr std::chrono::milliseconds kWatchInterval{100};

tl::unexpected<Error> closed_error() { return error("closed", "The engine is closed."); }

}  // namespace

Result<std::unique_ptr<EngineHost>> EngineHost::create(ApiOptions options) {
  auto host = std::unique_ptr<EngineHost>(new EngineHost());
  Result<std::unique_ptr<Api>> api =
      Api::create(std::move(options), [&queue = *host->posted_](Work work) { (void)queue.try_push(std::move(work)); });
  if (!api) return forward_error(api);
  host->api_ = std::move(*api);
  host->preparing_ = std::make_unique<WorkPool>(kPreparingThreads, kPreparingMax);
  host->jobs_thread_ = std::thread([&self = *host] { self.run_jobs(); });
  host->watch_thread_ = std::thread([&self = *host] { self.watch(); });
  return host;
}

// The queue is bounded by what the requests that run may generate.
EngineHost::EngineHost() : posted_(std::make_unique<BoundedQueue<Work>>(std::numeric_limits<std::size_t>::max())) {}

EngineHost::~EngineHost() { close(); }

void EngineHost::close() {
  {
    const std::lock_guard lock(watch_mutex_);
    if (is_closing_.exchange(true)) return;
  }
  watch_ended_.notify_all();
  if (watch_thread_.joinable()) watch_thread_.join();
  const std::unique_lock lock(open_mutex_);
  preparing_.reset();
  post([this] { end_all(closed_error().value()); });
  posted_->close();
  if (jobs_thread_.joinable()) jobs_thread_.join();
  api_.reset();
}

void EngineHost::post(Work work) { (void)posted_->try_push(std::move(work)); }

void EngineHost::run_jobs() {
  std::vector<std::shared_ptr<AnswerQueue>> queues;  // shared: they outlive the requests that just ended
  while (const std::optional<Work> work = posted_->pop()) {
    queues.clear();
    for (const auto& [request, running] : running_) {
      if (queues.empty() || queues.back() != running.queue) queues.push_back(running.queue);
    }
    try {
      (*work)();
      for (const std::shared_ptr<AnswerQueue>& queue : queues) queue->announce();
    } catch (...) {
      log_exception("an answer for Python");
    }
    for (const std::uint64_t request : finished_) running_.erase(request);
    finished_.clear();
  }
}

// Ends requests whose time is over, and all of them when the engine can't compute any more and sends no events.
void EngineHost::watch() {
  const auto check = [this] {
    api_->jobs().end_overdue(SteadyClock().now());
    if (const std::optional<Error> failure = api_->runtime().engine().failure()) end_all(*failure);
  };
  std::unique_lock lock(watch_mutex_);
  while (!watch_ended_.wait_for(lock, kWatchInterval, [this] { return is_closing_.load(); })) post(check);
}

void EngineHost::end_all(const Error& error) {
  for (const auto& [request, running] : running_) {
    running.job->fail(error);
    running.queue->announce();
  }
}

Status EngineHost::submit(Submission submission) {
  const std::shared_lock lock(open_mutex_);
  if (Status open = check_open(); !open) return open;
  const std::uint64_t request = submission.request;
  post([this, request, delivery = submission.delivery, queue = submission.queue] {
    auto sink = std::make_shared<QueueSink>(request, delivery, queue, [this, request] { finish(request); });
    running_.emplace(request, Running{api_->make_job(std::move(sink), {.tenant = {}, .client = {}, .random = random_()}), queue});
  });
  // Shared, because a std::function must be copyable.
  const auto given = std::make_shared<Submission>(std::move(submission));
  const auto prepare = [this, given] {
    const auto prepared = std::make_shared<Result<PreparedRequest>>(run_caught([&]() -> Result<PreparedRequest> {
      Result<PreparedRequest> request = api_->preparer().prepare(given->endpoint, given->body);
      if (!request) return request;
      if (Status compiled = api_->constraints().compile(*request, {}); !compiled) return forward_error(compiled);
      return request;
    }));
    post([this, request = given->request, prepared] { start(request, std::move(*prepared)); });
  };
  if (preparing_->try_run(prepare)) return {};
  cancel(request);
  return error("queue_full", "Expected at most {} requests that wait to be prepared.", kPreparingMax);
}

void EngineHost::start(std::uint64_t request, Result<PreparedRequest> prepared) {
  const auto at = running_.find(request);
  if (at == running_.end()) return;  // cancelled
  const std::shared_ptr<GenerationJob> job = at->second.job;
  job->start(std::move(prepared));
}

// The job may be running a function of its own, so it is destroyed later.
void EngineHost::finish(std::uint64_t request) {
  const auto at = running_.find(request);
  if (at == running_.end()) return;
  if (at->second.queue->is_closed()) at->second.job->cancel();
  finished_.push_back(request);
}

void EngineHost::cancel(std::uint64_t request) {
  post([this, request] {
    const auto at = running_.find(request);
    if (at == running_.end()) return;
    at->second.job->cancel();
    finished_.push_back(request);
  });
}

Status EngineHost::add_adapter(const std::string& name, const std::string& folder) {
  const std::shared_lock lock(open_mutex_);
  if (Status open = check_open(); !open) return open;
  if (Status valid = AdapterStore::check_name(name); !valid) return valid;
  Runtime& runtime = api_->runtime();
  Gate gate;
  const Result<ExaminedAdapter> adapter =
      runtime.adapters().examine(FolderPath(folder), runtime.engine().options().scheduler.page_count, gate);
  if (!adapter) return tl::unexpected(adapter.error());
  if (Status texts = api_->texts().check(adapter->folder, adapter->traits.added_tokens, gate); !texts) return texts;
  return runtime.adapters().install(name, *adapter, TakenName::refuse);
}

Status EngineHost::remove_adapter(const std::string& name) {
  const std::shared_lock lock(open_mutex_);
  if (Status open = check_open(); !open) return open;
  if (api_->runtime().adapters().remove(name)) return {};
  return error("not_found", "There is no adapter \"{}\".", name);
}

Result<std::vector<AdapterListing>> EngineHost::adapters() const {
  const std::shared_lock lock(open_mutex_);
  if (Status open = check_open(); !open) return forward_error(open);
  return api_->runtime().adapters().list();
}

Result<std::shared_ptr<const AdapterVersion>> EngineHost::version_of(const std::string& model) const {
  if (model.empty()) return nullptr;
  return api_->runtime().adapters().resolve(model);
}

Result<std::shared_ptr<const TextModel>> EngineHost::text_of(const std::string& model) const {
  const Result<std::shared_ptr<const AdapterVersion>> version = version_of(model);
  if (!version) return tl::unexpected(version.error());
  return *version == nullptr ? api_->texts().base() : api_->texts().of(**version);
}

Result<std::vector<TokenId>> EngineHost::encode(const std::string& model, std::string_view text, SpecialTokens special) const {
  const std::shared_lock lock(open_mutex_);
  if (Status open = check_open(); !open) return forward_error(open);
  const Result<std::shared_ptr<const TextModel>> side = text_of(model);
  if (!side) return tl::unexpected(side.error());
  return (*side)->tokenizer().encode(text, special);
}

Result<std::string> EngineHost::decode(const std::string& model, const std::vector<TokenId>& tokens, SpecialText special) const {
  const std::shared_lock lock(open_mutex_);
  if (Status open = check_open(); !open) return forward_error(open);
  const Result<std::shared_ptr<const TextModel>> side = text_of(model);
  if (!side) return tl::unexpected(side.error());
  return (*side)->tokenizer().decode(tokens, special);
}

Result<std::int32_t> EngineHost::output_tokens_that_fit(const std::string& model, std::int32_t prompt_tokens) const {
  const std::shared_lock lock(open_mutex_);
  if (Status open = check_open(); !open) return forward_error(open);
  const Result<std::shared_ptr<const AdapterVersion>> version = version_of(model);
  if (!version) return tl::unexpected(version.error());
  return api_->runtime().engine().output_tokens_that_fit(prompt_tokens, version->get());
}

Result<HostStats> EngineHost::stats() const {
  const std::shared_lock lock(open_mutex_);
  if (Status open = check_open(); !open) return forward_error(open);
  Runtime& runtime = api_->runtime();
  const EngineStats engine = runtime.engine().stats();
  const SchedulerStats& scheduler = engine.scheduler;
  const std::uint64_t page_bytes = runtime.model().kv_geometry().page_bytes() * static_cast<std::uint64_t>(runtime.shard_count());
  HostStats stats;
  stats.steps = engine.steps;
  stats.running = scheduler.running;
  stats.waiting = scheduler.waiting;
  stats.adapter_queries = scheduler.adapter_queries;
  stats.adapter_hits = scheduler.adapter_hits;
  stats.adapter_loads = scheduler.adapter_loads;
  stats.adapter_evictions = scheduler.adapter_evictions;
  stats.prefix_query_tokens = scheduler.prefix_query_tokens;
  stats.prefix_hit_tokens = scheduler.prefix_hit_tokens;
  stats.adapters_resident = engine.adapters_resident;
  stats.pool_bytes = scheduler.pages_total * page_bytes;
  stats.pool_bytes_used = (scheduler.pages_total - scheduler.pages_free) * page_bytes;
  return stats;
}

Result<std::vector<std::string>> EngineHost::summary() const {
  const std::shared_lock lock(open_mutex_);
  if (Status open = check_open(); !open) return forward_error(open);
  return api_->runtime().summary();
}

Status EngineHost::check_open() const {
  if (is_closing_) return closed_error();
  return {};
}

Status check_request(Endpoint endpoint, const std::string& body) {
  const Result<RequestSpec> spec = parse_request(endpoint, body, std::numeric_limits<std::int32_t>::max());
  if (!spec) return tl::unexpected(spec.error());
  return {};
}

}  // namespace slora::python
