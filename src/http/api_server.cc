#include "http/api_server.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>

#include "api/api.h"
#include "base/log.h"
#include "http/memory_guard.h"

namespace slora {
namespace {

constexpr std::chrono::seconds kEndTime(5);  // that threads may take to end after the last answer

Status check_exposure(const ApiServerOptions& options) {
  for (const auto& [option, keys] : {std::pair{"--api-key", &options.keys.user_keys}, {"--admin-api-key", &options.keys.admin_keys}}) {
    if (std::ranges::find(*keys, "") != keys->end()) return error("bad_api_key", "{}: expected a key, found nothing", option);
  }
  if (is_loopback_host(options.http.host) || options.keys.has_keys()) return {};
  return error(
      "needs_api_key",
      "--host {} lets other machines in, and without --api-key any of them could use the server. Give --api-key KEY (clients send it as "
      "\"Authorization: Bearer KEY\"), or leave --host at 127.0.0.1.",
      options.http.host);
}

std::string url_of(const std::string& host, std::uint16_t port) {
  if (host == "0.0.0.0" || host == "localhost") return fmt::format("http://127.0.0.1:{}", port);
  if (host.find(':') != std::string::npos) return fmt::format("http://[{}]:{}", host == "::" ? "::1" : host, port);
  return fmt::format("http://{}:{}", host, port);
}

// Graceful shutdown: new requests are refused, running ones finish, and those that remain after the drain time receive an error.
// I/O thread.
class Drain {
 public:
  Drain(HttpServer& http, Engine& engine, GenerationRoutes& generation, StatusRoutes& status, JobTable& jobs, std::chrono::seconds time)
      : http_(http), engine_(engine), generation_(generation), status_(status), jobs_(jobs), time_(time) {}

  void on_signal() {
    ++signal_count_;
    if (signal_count_ > 1) return cut("a second signal came");
    end_ = std::chrono::steady_clock::now() + time_;
    log_info("shutting down: {} requests have up to {} s to finish; a second signal ends them now", http_.exchange_count(), time_.count());
    generation_.begin_drain();
    status_.begin_drain();
    engine_.begin_drain();
    http_.begin_drain();
    http_.post_after(time_, [this] { cut("the time is over"); });
    stop_when_done();
  }
  [[nodiscard]] int exit_code() const { return cut_ ? 1 : 0; }
  // Until all requests have ended; nothing before a signal.
  [[nodiscard]] std::optional<int> seconds_left() const {
    if (signal_count_ == 0) return std::nullopt;
    const auto left = std::chrono::ceil<std::chrono::seconds>(end_ - std::chrono::steady_clock::now());
    return static_cast<int>(std::clamp(left, std::chrono::seconds(1), std::chrono::seconds(RetryEstimate::kSecondsMax)).count());
  }

 private:
  void stop_when_done() {
    if (http_.exchange_count() == 0) return http_.stop();
    http_.post_after(std::chrono::milliseconds(20), [this] { stop_when_done(); });
  }

  void cut(std::string_view why) {
    if (std::exchange(cut_, true)) return;
    log_warning("shutting down now, {}: {} requests are cut off", why, http_.exchange_count());
    const Error draining{"draining", "The server is shutting down.", {}};
    generation_.fail_preparing(draining);
    jobs_.fail_all(draining);
    http_.post_after(std::chrono::milliseconds(500), [this] { http_.stop(); });  // time for the errors to reach their clients
  }

  HttpServer& http_;
  Engine& engine_;
  GenerationRoutes& generation_;
  StatusRoutes& status_;
  JobTable& jobs_;
  const std::chrono::seconds time_;
  int signal_count_ = 0;
  std::chrono::steady_clock::time_point end_;
  bool cut_ = false;
};

std::vector<std::string> roots_of(const RuntimeOptions& options) {
  std::vector<std::string> roots;
  for (const std::filesystem::path& folder : options.adapter_folders) roots.push_back(folder.string());
  return roots;
}

// Lives until the server has stopped. I/O thread.
struct EachSecond {
  HttpServer& http;
  Gauge& request_memory;
  StatusRoutes& status;

  void update() {
    http.post_after(std::chrono::seconds(1), [this] { update(); });
    request_memory.set(static_cast<double>(http.request_memory_bytes()));
    status.look();
  }
};

void count_response(MetricsRegistry& metrics, std::string_view path, int status_code) {
  const MetricLabels labels = {{"path", path.empty() ? "other" : std::string(path)}, {"status", std::to_string(status_code)}};
  metrics.counter("slora_http_responses_total", "Answers by path and status.", labels).add();
}

void warn_of_hidden_adapters(Runtime& runtime, const std::vector<std::string>& model_names) {
  for (const AdapterListing& adapter : runtime.adapters().list()) {
    if (std::ranges::find(model_names, adapter.name) != model_names.end()) {
      log_warning("adapter {} has the name of the base model and can't be reached; rename it, or the model with --served-model-name",
                  adapter.name);
    }
  }
}

// Whether the threads that read adapters' files have ended, or end soon.
bool has_read_all(AdapterRoutes& adapters, Runtime& runtime) {
  constexpr std::chrono::milliseconds pause(10);
  for (int i = 0; i < 100 && adapters.is_reading(); ++i) std::this_thread::sleep_for(pause);
  return !adapters.is_reading() && runtime.wait_for_reads(std::chrono::seconds(1));
}

}  // namespace

Result<int> run_api_server(const ApiServerOptions& options, RuntimeOptions runtime_options) {
  if (Status exposure = check_exposure(options); !exposure) return forward_error(exposure);
  if (Status origins = Cors::check(options.http.cors); !origins) return forward_error(origins);
  // The order of destruction matters: the engine may post to the I/O context until it is gone.
  Result<std::unique_ptr<HttpServer>> listening = HttpServer::listen(options.http);
  if (!listening) return forward_error(listening);
  HttpServer& http = **listening;
  Result<std::unique_ptr<KeyRing>> keys = KeyRing::create(options.keys);
  if (!keys) return forward_error(keys);
  const auto post = [&](std::function<void()> work) { http.post(std::move(work)); };
  const std::string model_path = runtime_options.model_folder.string();
  const std::vector<std::string> roots = roots_of(runtime_options);
  const std::vector<std::string>& names = options.model_names.all;
  Result<std::unique_ptr<Api>> created =
      Api::create({std::move(runtime_options), names, options.chat_template_file, options.sources, options.answer_forms}, post);
  if (!created) return forward_error(created);
  Api& api = **created;
  Runtime& runtime = api.runtime();
  if (api.text().chat_refusal()) log_warning("chats are refused: {}", api.text().chat_refusal()->message);
  warn_of_hidden_adapters(runtime, names);

  const SchedulerOptions& scheduler = runtime.engine().options().scheduler;
  runtime.metrics()
      .gauge("vllm:cache_config_info", "Geometry of the pool.",
             {{"block_size", std::to_string(scheduler.page_tokens)}, {"num_gpu_blocks", std::to_string(scheduler.page_count)}})
      .set(1);
  const std::int32_t vocabulary_size = runtime.model_config().vocab_size;
  std::optional<SpanExporter> exporter;
  if (options.collector) exporter.emplace(SpanExporterOptions{*options.collector, SLORA_VERSION}, runtime.metrics());
  RequestReports reports({options.logs_requests, exporter ? &*exporter : nullptr});
  TextPool text_pool(options.text_threads);
  GenerationRoutes generation(api, post, text_pool, reports);
  TokenizeRoutes tokenize(api.preparer(), vocabulary_size, runtime.max_model_len(), post, text_pool);
  StatusRoutes status(
      options.model_names, runtime, api.jobs(), api.request_metrics(),
      [&] { return generation.preparing_count() + api.jobs().request_count(); }, options.adapter_metrics_max, post);
  InfoRoutes info(names.front(), model_path, runtime, post);
  const auto post_after = [&](std::chrono::milliseconds delay, std::function<void()> work) { http.post_after(delay, std::move(work)); };
  const auto check_texts = [&](const FolderPath& folder, std::int32_t added_tokens, Gate& gate) {
    return api.texts().check(folder, added_tokens, gate);
  };
  Engine& engine = runtime.engine();
  const ChangePin pin = [&](std::string name, std::function<void(Status)> on_done) {
    engine.pin_adapter(std::move(name), std::move(on_done));
  };
  const ChangePin unpin = [&](std::string name, std::function<void(Status)> on_done) {
    engine.unpin_adapter(std::move(name), std::move(on_done));
  };
  const ChangePin note_idle_time = [&](std::string name, std::function<void(Status)> on_done) {
    engine.note_idle_time(std::move(name), std::move(on_done));
  };
  AdapterRoutes adapters(runtime.adapters(),
                         {names, roots, scheduler.page_count - 1, options.watch_interval, check_texts, pin, unpin, note_idle_time,
                          api.sources(), options.push_bytes_max},
                         post, post_after);
  StateRoutes state({names.front(), !api.text().chat_refusal()}, runtime, api.request_metrics(), post, post_after);
  const RouteTable routes = make_routes({generation, tokenize, status, info, adapters, state}, options.page, vocabulary_size);
  (*keys)->watch(post, post_after);
  Drain drain(http, runtime.engine(), generation, status, api.jobs(), options.drain_time);
  EngineGuard guard({http, runtime.engine(), generation, status, info, api.jobs()}, options.guard);
  const MemoryGuard memory_guard(http, generation);
  EachSecond each_second{
      http, runtime.metrics().gauge("slora_request_memory_bytes", "What requests hold of --request-memory, looked up each second."),
      status};
  each_second.update();

  // Posted, so that it is called when the signal handlers are already installed.
  http.post([&] {
    Ready ready{url_of(options.http.host, http.port()), {}, !api.text().chat_refusal()};
    if (const std::optional<std::uint16_t> port = http.health_port()) ready.health_url = url_of(options.http.health->host, *port);
    options.on_ready(ready, runtime);
  });
  http.run({.routes = routes,
            .keys = **keys,
            .on_response = [&](std::string_view path, int status_code) { count_response(runtime.metrics(), path, status_code); },
            .retry_time =
                [&](const RefusedRequest& refused) {
                  const auto now = std::chrono::steady_clock::now();
                  if (const std::optional<int> seconds = drain.seconds_left()) return now + std::chrono::seconds(*seconds);
                  return guard.retry_time(refused, now);
                },
            .on_signal = [&] { drain.on_signal(); }});
  end_process_after(kEndTime, drain.exit_code());
  if (api.sources() != nullptr) api.sources()->stop();
  text_pool.stop();  // its jobs use the routes, which end before it
  if (!has_read_all(adapters, runtime)) {
    log_warning("a read of an adapter's files hangs: the server ends without waiting for it");
    exporter.reset();               // sends the last spans; this thread is the one that adds some
    std::_Exit(drain.exit_code());  // destructors would wait for the threads that read
  }
  return drain.exit_code();
}

}  // namespace slora
