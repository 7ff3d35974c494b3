#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "cli/byte_size.h"
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

}  // namespace

int run_serve(const ServeArguments& arguments) {
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
  options.watch_interval = std::chrono::seconds(arguments.watch_seconds);
  options.keys.user_keys = arguments.api_keys;
  options.keys.admin_keys = arguments.admin_api_keys;
  if (!arguments.api_key_file.empty()) options.keys.file = arguments.api_key_file;
  if (!arguments.model.chat_template.empty()) options.chat_template_file = arguments.model.chat_template;
  options.answer_forms = {arguments.tool_call_parser, arguments.reasoning_parser};
  if (const Status known = check_answer_forms(options.answer_forms); !known) return report(known.error());
  options.drain_time = std::chrono::seconds(arguments.drain_seconds);
  options.http.cors = {texts_of_option(arguments.allowed_origins), texts_of_option(arguments.allowed_methods),
                       texts_of_option(arguments.allowed_headers), arguments.allow_credentials};
  if (arguments.health_port) {
    options.http.health = {arguments.health_host.empty() ? arguments.host : arguments.health_host, *arguments.health_port};
  }
  options.guard = {stall_time_of(arguments), arguments.on_stall == "exit" ? OnStall::exit : OnStall::wait};

  auto bar = std::make_unique<ProgressBar>();
  runtime_options->progress = [&bar](std::string_view what, std::uint64_t done, std::uint64_t total) { bar->show(what, done, total); };
  options.on_ready = [&](const Ready& ready, Runtime& runtime) {
    bar.reset();
    // First: it may find adapters that are refused, and the summary counts those.
    const std::string model = example_model(runtime, options.model_names.all.front());
    for (const std::string& line : runtime.summary()) fmt::print("{}\n", line);
    fmt::print("listening on {}\n", ready.url);
    if (ready.health_url) fmt::print("health and metrics on {}\n", *ready.health_url);
    fmt::print("try: {}\n", example_call(ready, model, options.keys.has_keys() ? "YOUR_KEY" : ""));
    std::fflush(stdout);
  };
  const Result<int> exit_code = run_api_server(options, std::move(*runtime_options));
  return exit_code ? *exit_code : report(exit_code.error());
}

}  // namespace slora
