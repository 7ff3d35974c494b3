#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <tuple>
#include <utility>

#include "base/log_record.h"
#include "cli/byte_size.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"
#include "cli/text_list.h"
#include "http/api_server.h"

namespace slora {
namespace {

// Every connection takes a descriptor, and so does an adapter while it loads; some stay for the rest.
constexpr std::size_t kOtherDescriptors = 256;
constexpr std::uint64_t kRequestMemoryMin = std::uint64_t{1} << 20;

// Raises the soft limit of open files to the hard one and returns how many connections that allows.
std::size_t connections_allowed(std::size_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  const std::size_t descriptors = limit.rlim_cur;
  return std::min(wanted, descriptors > 2 * kOtherDescriptors ? descriptors - kOtherDescriptors : descriptors / 2);
}

// The reference backend gives signs of life only between layers, which take long there.
std::chrono::seconds stall_time_of(const ServeArguments& arguments) {
  const int chosen = arguments.model.backend == "reference" ? 60 : 10;
  return std::chrono::seconds(arguments.stall_seconds.value_or(chosen));
}

// The allocator gives each thread an arena with 64 MiB of address space of its own, up to eight times as many as there are cores. A few
// serve as well, and do not use up the address space where that is limited.
void limit_arenas() {
#ifdef M_ARENA_MAX
  constexpr int kArenasMax = 4;
  mallopt(M_ARENA_MAX, kArenasMax);
#endif
}

// The adapter that the printed example should name: the first that can be served, else the base.
std::string example_model(Runtime& runtime, const std::string& base) {
  for (const AdapterListing& adapter : runtime.adapters().list()) {
    if (runtime.adapters().resolve(adapter.name)) return adapter.name;
  }
  return base;
}

std::string example_call(const Ready& ready, const std::string& model, std::string_view key) {
  const std::string header = key.empty() ? "" : fmt::format(" -H 'Authorization: Bearer {}'", key);
  const auto call = [&](std::string_view path, std::string_view input) {
    return fmt::format(R"(curl {}{}{} -H 'Content-Type: application/json' -d '{{"model": "{}", {}, "max_tokens": 32, "temperature": 0}}')",
                       ready.url, path, header, model, input);
  };
  if (!ready.serves_chats) return call("/v1/completions", R"("prompt": "Hello")");
  return call("/v1/chat/completions", R"("messages": [{"role": "user", "content": "Hello"}])");
}

// The user's cache folder, as other programs find it.
std::filesystem::path user_cache() {
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return cache;
  const char* const home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? std::filesystem::path(home) / ".cache" : std::filesystem::path();
}

// That of this process without the keys of the server.
std::vector<std::string> environment_of_programs() {
  std::vector<std::string> environment;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view variable(*at);
    if (!variable.starts_with("SLORA_")) environment.emplace_back(variable);
  }
  return environment;
}

Result<AdapterSourceOptions> source_options_of(const ServeArguments& arguments) {
  AdapterSourceOptions options;
  for (const std::string& text : arguments.adapter_sources) {
    Result<SourceRule> rule = parse_source_rule(text);
    if (!rule) return forward_error(rule);
    options.rules.push_back(std::move(*rule));
  }
  options.hub_folder = arguments.hub_cache;
  std::error_code ignored;
  if (!arguments.hub_cache.empty() && !std::filesystem::is_directory(options.hub_folder, ignored)) {
    return error("bad_option", "--hub-cache: there is no folder {}", arguments.hub_cache);
  }
  for (const auto& [option, text, bytes] : {std::tuple{"--adapter-cache-size", &arguments.adapter_cache_size, &options.cache_bytes_max},
                                            {"--adapter-source-size", &arguments.adapter_source_size, &options.limits.bytes_max}}) {
    const Result<std::uint64_t> size = parse_byte_size(*text);
    if (!size) return error("bad_option", "{}: {}", option, size.error().message);
    *bytes = *size;
  }
  options.limits.time_max = std::chrono::seconds(arguments.adapter_source_seconds);
  if (options.rules.empty()) return options;
  options.cache_folder = arguments.adapter_cache;
  if (const std::filesystem::path cache = user_cache(); arguments.adapter_cache.empty()) {
    if (cache.empty()) return error("bad_option", "--adapter-source: expected --adapter-cache DIR with it, since no HOME is set");
    options.cache_folder = cache / "slora" / "adapters";
  }
  options.environment = environment_of_programs();
  return options;
}

// To standard output, unless all that is printed is to be JSON.
void say(const std::string& line) {
  if (log_format() == LogFormat::json) return log_info("{}", line);
  fmt::print("{}\n", line);
}

}  // namespace

int run_serve(const ServeArguments& arguments) {
  const auto report = [&](const Error& error) { return slora::report(at_place(error, arguments.config_places)); };
  limit_arenas();
  Result<RuntimeOptions> runtime_options = make_runtime_options(arguments.model);
  if (!runtime_options) return report(runtime_options.error());
  runtime_options->waiting_per_client_max = arguments.waiting_per_client_max.value_or(runtime_options->waiting_max);
  if (arguments.prefault_pool) runtime_options->pool_memory = PoolMemory::at_start;

  const Result<std::uint64_t> request_memory = parse_byte_size(arguments.request_memory);
  if (!request_memory) return report({"bad_option", "--request-memory: " + request_memory.error().message, {}});
  if (*request_memory < kRequestMemoryMin) {
    return report(
        {"bad_option",
         fmt::format("--request-memory: expected at least {}, found {}", shown_byte_size(kRequestMemoryMin), arguments.request_memory),
         {}});
  }

  runtime_options->other_bytes = *request_memory;
  if (!arguments.pooling.empty()) runtime_options->pooling = arguments.pooling == "mean" ? Pooling::mean : Pooling::last;
  if (!arguments.host_adapter_memory.empty()) {
    const Result<std::uint64_t> bytes = parse_byte_size(arguments.host_adapter_memory);
    if (!bytes) return report({"bad_option", "--host-adapter-memory: " + bytes.error().message, {}});
    runtime_options->pool_use.host_adapter_bytes = *bytes;
  }
  for (const std::string& name : arguments.pinned_adapters) {
    std::vector<std::string>& pinned = runtime_options->pinned_adapters;
    if (std::ranges::find(pinned, name) == pinned.end()) pinned.push_back(name);
  }
  runtime_options->adapter_idle_time = std::chrono::seconds(arguments.adapter_idle_seconds);

  ApiServerOptions options;
  options.http.limits.request_memory_bytes = *request_memory;
  options.http.host = arguments.host;
  options.http.port = arguments.port;
  HttpLimits& limits = options.http.limits;
  limits.connections_max = connections_allowed(limits.connections_max);
  limits.connections_reserved = std::min(limits.connections_reserved, limits.connections_max / 8);
  const std::vector<std::string> names = model_names_of(arguments.model);
  options.model_names = {names, arguments.model.served_model_names.empty() ? 1 : names.size()};
  options.adapter_metrics_max = arguments.adapter_metrics_max;
  Result<AdapterSourceOptions> sources = source_options_of(arguments);
  if (!sources) return report(sources.error());
  options.sources = std::move(*sources);
  const Result<std::uint64_t> push_bytes = parse_byte_size(arguments.adapter_push_memory);
  if (!push_bytes) return report({"bad_option", "--adapter-push-memory: " + push_bytes.error().message, {}});
  options.push_bytes_max = *push_bytes;
  // A body is held by its request while it is read, and others need memory meanwhile.
  options.http.limits.large_body_bytes_max = std::min<std::uint64_t>(*push_bytes, *request_memory / 4);
  options.watch_interval = std::chrono::seconds(arguments.watch_seconds);
  options.keys.user_keys = arguments.api_keys;
  options.keys.admin_keys = arguments.admin_api_keys;
  if (!arguments.api_key_file.empty()) options.keys.file = arguments.api_key_file;
  if (!arguments.model.chat_template.empty()) options.chat_template_file = arguments.model.chat_template;
  options.page = arguments.no_page ? PageOffer::none : PageOffer::offered;
  options.answer_forms = {arguments.tool_call_parser, arguments.reasoning_parser};
  if (const Status known = check_answer_forms(options.answer_forms); !known) return report(known.error());
  options.drain_time = std::chrono::seconds(arguments.drain_seconds);
  options.http.cors = {texts_of_option(arguments.allowed_origins), texts_of_option(arguments.allowed_methods),
                       texts_of_option(arguments.allowed_headers), arguments.allow_credentials};
  if (arguments.health_port) {
    options.http.health = {arguments.health_host.empty() ? arguments.host : arguments.health_host, *arguments.health_port};
  }
  options.guard = {stall_time_of(arguments), arguments.on_stall == "exit" ? OnStall::exit : OnStall::wait};

  options.logs_requests = log_format() == LogFormat::json && !arguments.no_request_log;
  if (!arguments.traces_endpoint.empty()) {
    Result<CollectorUrl> collector = parse_collector_url(arguments.traces_endpoint);
    if (!collector) return report(collector.error());
    options.collector = std::move(*collector);
  }

  auto bar = std::make_unique<ProgressBar>();
  runtime_options->progress = [&bar](std::string_view what, std::uint64_t done, std::uint64_t total) { bar->show(what, done, total); };
  options.on_ready = [&](const Ready& ready, Runtime& runtime) {
    bar.reset();
    // First: it may find adapters that are refused, and the summary counts those.
    const std::string model = example_model(runtime, options.model_names.all.front());
    for (const std::string& line : runtime.summary()) say(line);
    say("listening on " + ready.url);
    if (ready.health_url) say("health and metrics on " + *ready.health_url);
    say("try: " + example_call(ready, model, options.keys.has_keys() ? "YOUR_KEY" : ""));
    std::fflush(stdout);
  };
  const Result<int> exit_code = run_api_server(options, std::move(*runtime_options));
  return exit_code ? *exit_code : report(exit_code.error());
}

}  // namespace slora
