#include "bench/command/traffic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/command/log.h"
#include "bench/machine_facts.h"
#include "bench/model_source.h"
#include "bench/one_adapter_target.h"
#include "bench/traffic_engine.h"
#include "bench/traffic_http.h"
#include "bench/traffic_report.h"
#include "cli/byte_size.h"
#include "cli/interrupt.h"
#include "cli/option_range.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

void add_target_options(CLI::App& command, BenchTrafficArguments& arguments) {
  CLI::Option* url = command.add_option("--url", arguments.url,
                                        "Server to send to, such as http://127.0.0.1:8000 [an engine in this process, without HTTP]");
  url->type_name("URL");
  command.add_option("--api-key", arguments.api_key, "The server's key")->type_name("KEY")->envname("SLORA_API_KEY");
  command.add_option("--model", arguments.model, "Without --url: a model as `slora bench offline` takes it")
      ->type_name("MODEL")
      ->capture_default_str()
      ->excludes(url);
  command.add_option("--adapters", arguments.adapters, "Without --url: folder of adapter folders; repeatable")
      ->type_name("DIR")
      ->excludes(url);
  command.add_option("--backend", arguments.backend, "Without --url: cpu, cuda, reference or auto")
      ->type_name("NAME")
      ->capture_default_str()
      ->excludes(url);
  command.add_option("--threads", arguments.threads, "Without --url: threads that compute; 0: one per core")
      ->type_name("N")
      ->check(in_range(0, 1024))
      ->capture_default_str()
      ->excludes(url);
  command.add_option("--weights", arguments.weights, "Without --url: bf16, int8 or int4 with scales")
      ->type_name("bf16|int8|int4")
      ->check(CLI::IsMember({"bf16", "int8", "int4"}).description(""))
      ->capture_default_str()
      ->excludes(url);
  command.add_option("--pool-memory", arguments.pool_memory, "Without --url: memory for KV cache and adapters, as `slora serve` takes it")
      ->type_name("SIZE")
      ->excludes(url);
  add_compute_option(command, arguments.compute)->excludes(url);
  add_memory_options(command, arguments.memory);
}

void add_request_options(CLI::App& command, BenchTrafficArguments& arguments) {
  bench::TrafficOptions& options = arguments.options;
  const auto add_count = [&](const char* name, std::int32_t& count, std::int32_t min, const char* what) {
    command.add_option(name, count, what)->type_name("N")->check(in_range(min, 1 << 24))->capture_default_str();
  };
  add_count("--streams", options.streams, 1, "Requests at once: each stream sends its next when its last has ended");
  add_count("--requests", options.requests, 1, "Requests of all streams together");
  add_count("--input-tokens", options.input_tokens, 1, "Tokens of a prompt");
  add_count("--output-tokens", options.output_tokens, 1, "Tokens of an answer; nothing ends it before");
  add_count("--adapter-count", options.adapter_count, 0, "Adapters that requests use in rotation, the first by name; 0: the base model");
  static_assert(bench::TrafficOptions().vocabulary == 32000, "as the help says it");
  command
      .add_option("--vocabulary", arguments.vocabulary,
                  "Prompts hold random token ids below [32000; without --url at most what the model has, with --url give less for a model "
                  "that has less]")
      ->type_name("N")
      ->check(in_range(1, 1 << 24));
  command.add_option("--seed", options.seed, "Makes the prompts; a server that has seen them answers from its prefix cache")
      ->type_name("N")
      ->check(in_range(0, 1 << 30))
      ->capture_default_str();
  command
      .add_option("--cold-per-second", options.cold_per_second,
                  "In addition, in every second phase: this many short requests per second, each for an adapter beyond --adapter-count "
                  "that has not been used before")
      ->type_name("R")
      ->check(real_range(0.01, 1000));
  command.add_option("--phase-seconds", options.phase_seconds, "Length of a phase")
      ->type_name("S")
      ->check(real_range(1, 3600))
      ->capture_default_str();
}

// An engine refuses ids that its model does not have; a server's vocabulary is unknown.
Result<std::int32_t> choose_vocabulary(const BenchTrafficArguments& arguments, const bench::ModelSource& model) {
  const Result<ModelConfig> config = read_model_config(model.folder.string());
  if (!config) return tl::unexpected(config.error());
  const std::int32_t known = config->vocab_size;
  if (!arguments.vocabulary) return std::min(arguments.options.vocabulary, known);
  if (*arguments.vocabulary <= known) return *arguments.vocabulary;
  return error("bad_option", "--vocabulary: expected at most the {} tokens of the model, found {}", known, *arguments.vocabulary);
}

// Also chooses the vocabulary of the requests. `merges` outlives the engine.
Result<std::unique_ptr<bench::TrafficTarget>> make_engine(bench::TrafficOptions& requests, const BenchTrafficArguments& arguments,
                                                          const std::string& scratch, bench::MergeCounts& merges) {
  const Result<bench::ModelSource> model = bench::find_model(arguments.model, scratch);
  if (!model) return error("bad_option", "--model: {}", model.error().message);
  const Result<std::int32_t> vocabulary = choose_vocabulary(arguments, *model);
  if (!vocabulary) return tl::unexpected(vocabulary.error());
  requests.vocabulary = *vocabulary;
  RuntimeOptions options;
  options.model_folder = model->folder;
  options.model_name = model->name;
  if (model->weights == bench::WeightSource::random) options.random_weights_seed = 1;
  options.backend = arguments.backend;
  options.threads = arguments.threads;
  options.weights = *weight_storage_of(arguments.weights);
  if (!arguments.pool_memory.empty()) {
    const Result<std::uint64_t> bytes = parse_byte_size(arguments.pool_memory);
    if (!bytes) return error("bad_option", "--pool-memory: {}", bytes.error().message);
    options.pool_bytes = *bytes;
  }
  const Result<PoolUse> pool_use = make_pool_use(arguments.memory);
  if (!pool_use) return tl::unexpected(pool_use.error());
  options.pool_use = *pool_use;
  const bench::AdapterProduct product = adapter_product_of(arguments.compute);
  options.wrap_backend = bench::backend_wrapper(product, merges);
  for (const std::string& folder : arguments.adapters) options.adapter_folders.emplace_back(folder);
  ProgressBar bar;
  options.progress = [&bar](std::string_view what, std::uint64_t done, std::uint64_t total) { bar.show(what, done, total); };
  Result<std::unique_ptr<bench::TrafficEngine>> engine = bench::TrafficEngine::create(std::move(options));
  if (!engine) return forward_error(engine);
  std::unique_ptr<bench::TrafficTarget> target = std::move(*engine);
  if (product == bench::AdapterProduct::merged) target = std::make_unique<bench::OneAdapterTarget>(std::move(target));
  return target;
}

Result<std::unique_ptr<bench::TrafficTarget>> make_server(const BenchTrafficArguments& arguments) {
  Result<std::unique_ptr<bench::TrafficHttp>> server = bench::TrafficHttp::create({.url = arguments.url, .key = arguments.api_key});
  if (!server) return forward_error(server);
  return std::unique_ptr<bench::TrafficTarget>(std::move(*server));
}

Result<bench::TrafficReport> run_once(bench::TrafficTarget& target, const bench::TrafficOptions& options, const std::atomic<bool>& stop) {
  ProgressBar bar;
  const auto progress = [&](std::uint64_t done, std::uint64_t total) { bar.show("Requests", done, total); };
  const Result<bench::TrafficRun> run = bench::run_traffic(target, options, SteadyClock(), progress, stop);
  if (!run) return tl::unexpected(run.error());
  return bench::report_of(options, *run);
}

}  // namespace

CLI::App* add_bench_traffic(CLI::App& bench, BenchTrafficArguments& arguments) {
  CLI::App* command = bench.add_subcommand("traffic", "Measure a list of requests: through the engine, or sent to a server");
  add_target_options(*command, arguments);
  add_request_options(*command, arguments);
  command->add_option("--repeats", arguments.repeats, "Runs, each with the next seed")
      ->type_name("N")
      ->check(in_range(1, 1000))
      ->capture_default_str();
  command->add_option("--json", arguments.json, "Also write the figures there: a line of JSON for the machine, and one for each run")
      ->type_name("FILE");
  command->footer(
      "Prompts are random tokens, answers the most likely ones. Equal options make equal requests, so that a server can be compared with "
      "an\n"
      "engine without one:\n"
      "  slora bench adapters my-adapters --model models/llama --count 64\n"
      "  slora bench traffic --model models/llama --adapters my-adapters --adapter-count 64\n"
      "  slora serve --model models/llama --adapters my-adapters &\n"
      "  slora bench traffic --url http://127.0.0.1:8000 --adapter-count 64\n"
      "What loading adapters costs the others:\n"
      "  slora bench traffic --model models/llama --adapters my-adapters --streams 8 --output-tokens 256 --adapter-count 8 "
      "--cold-per-second 2\n");
  return command;
}

int run_bench_traffic(const BenchTrafficArguments& arguments, const std::string& command_line) {
  const Interrupt interrupt("stopping");
  const Result<TemporaryFolder> scratch = TemporaryFolder::create();
  if (!scratch) return report(scratch.error());
  bench::TrafficOptions options = arguments.options;
  options.vocabulary = arguments.vocabulary.value_or(options.vocabulary);
  bench::MergeCounts merges;
  Result<std::unique_ptr<bench::TrafficTarget>> target =
      arguments.url.empty() ? make_engine(options, arguments, scratch->path(), merges) : make_server(arguments);
  if (!target) return report(target.error());
  if (Status ready = bench::can_run_traffic(**target, options); !ready) return report(ready.error());
  BenchLog log;
  if (Status opened = log.open(arguments.json); !opened) return report(opened.error());

  log.write({{"command", command_line},
             {"machine", to_json(bench::machine_facts())},
             {"options", to_json(options)},
             {"compute", arguments.compute.compute}});
  const bool merges_adapters = adapter_product_of(arguments.compute) == bench::AdapterProduct::merged;
  MergeMeter meter(merges);
  std::vector<double> rates;
  std::size_t error_count = 0;
  for (std::int32_t i = 0; i < arguments.repeats && !interrupt.requested().load(); ++i, ++options.seed) {
    const Result<bench::TrafficReport> figures = run_once(**target, options, interrupt.requested());
    if (!figures) return report(figures.error());
    if (arguments.repeats > 1) fmt::print("seed         {}\n", options.seed);
    for (const std::string& line : bench::lines_of(*figures)) fmt::print("{}\n", line);
    Json record = to_json(*figures);
    record["seed"] = options.seed;
    if (const std::optional<bench::PoolContents> pool = (*target)->pool_contents(); pool && pool->adapter_count > 0) {
      fmt::print("pool         {} adapters in {}\n", pool->adapter_count, shown_byte_size(pool->adapter_bytes));
      record["pool"] = {{"adapters", pool->adapter_count}, {"adapter_bytes", pool->adapter_bytes}};
    }
    if (merges_adapters) {
      const MergeMeter::Reading reading = meter.read();
      fmt::print("merged       {}\n", merge_text(reading));
      record["merged"] = to_json(reading);
    }
    std::fflush(stdout);
    log.write(record);
    if (!figures->interrupted) rates.push_back(figures->tokens_per_second);
    error_count += figures->error_count;
    options.cold_begin += figures->cold_count;
  }
  if (rates.size() > 1) fmt::print("\nmedian       {:.1f} tokens/s of {} runs\n", bench::median(rates), rates.size());
  if (Status closed = log.close(); !closed) return report(closed.error());
  if (interrupt.requested().load()) {
    fmt::print("interrupted: {} of {} runs came to their end\n", rates.size(), arguments.repeats);
    return kInterrupted;
  }
  return error_count == 0 ? 0 : 1;
}

}  // namespace slora
