#include "bench/command/offline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "bench/command/adapters.h"
#include "bench/command/log.h"
#include "bench/machine_facts.h"
#include "bench/offline_bench.h"
#include "cli/byte_size.h"
#include "cli/instructions_option.h"
#include "cli/interrupt.h"
#include "cli/option_range.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using bench::AdapterKind;
using bench::AdapterTargets;
using bench::AdapterUse;

Result<bench::OfflineOptions> make_options(const BenchOfflineArguments& arguments) {
  bench::OfflineOptions options = arguments.options;
  options.kinds.clear();
  for (const std::string& targets : arguments.targets) {
    for (const std::string& text : arguments.ranks) {
      const Result<std::int32_t> rank = parse_adapter_rank(text, "--ranks");
      if (!rank) return tl::unexpected(rank.error());
      options.kinds.push_back({*rank, targets == "all" ? AdapterTargets::all : AdapterTargets::qv});
    }
  }
  options.uses.clear();
  for (const std::string& use : arguments.adapters) {
    options.uses.push_back(use == "none" ? AdapterUse::none : use == "shared" ? AdapterUse::shared : AdapterUse::distinct);
  }
  const bool merges = adapter_product_of(arguments.compute) == bench::AdapterProduct::merged;
  if (merges && std::ranges::count(options.uses, AdapterUse::distinct) > 0) {
    return error("bad_option", "--compute merged: a batch has one adapter; expected --adapters none or shared, found distinct");
  }
  if (options.requests_waiting > 0 && options.batches.size() != 1) {
    return error("bad_option", "--requests-waiting: expected one --batch, found {}", options.batches.size());
  }
  return options;
}

// Applies the values of --quick (see its help) to the options that were not given.
void make_quick(bench::OfflineOptions& options, const CLI::App& command) {
  const auto set = [&](const char* name, auto& value, auto quick) {
    if (command.count(name) == 0) value = quick;
  };
  set("--prompt", options.prompts, std::vector<std::int32_t>{16});
  set("--batch", options.batches, std::vector<std::int32_t>{1, 2});
  set("--context", options.contexts, std::vector<std::int32_t>{32});
  set("--repeats", options.repeats, 2);
  set("--steps", options.steps, 4);
}

Result<TemporaryFolder> make_scratch(const std::string& parent) {
  if (parent.empty()) return TemporaryFolder::create();
  Result<TemporaryFolder> folder = TemporaryFolder::create_in(parent);
  if (!folder) return error("bad_option", "--scratch: {}", folder.error().message);
  return folder;
}

void print_head(const bench::OfflineBench& offline, const std::string& left_out) {
  print_machine(offline.probe());
  for (const std::string& line : offline.summary()) fmt::print("{}\n", line);
  if (!left_out.empty()) fmt::print("{}\n", left_out);
  fmt::print("\n{}\n", bench::offline_table_head());
  std::fflush(stdout);
}

// Several values, separated by commas.
template <class List>
CLI::Option* add_list_option(CLI::App& command, const char* name, List& list, const char* what) {
  return command.add_option(name, list, what)->delimiter(',')->type_name("N,...")->capture_default_str();
}

void add_row_options(CLI::App& command, BenchOfflineArguments& arguments) {
  bench::OfflineOptions& options = arguments.options;
  command
      .add_option("--model", arguments.model,
                  "A model folder; a folder or file with only a config.json (for random weights); or a built-in shape: "
                  "Qwen2.5-0.5B, Llama-3.2-1B, Llama-3.1-8B")
      ->type_name("MODEL")
      ->capture_default_str();
  add_list_option(command, "--prompt", options.prompts, "Prompt lengths to prefill")->check(in_range(1, 1 << 20));
  add_list_option(command, "--batch", options.batches, "Sequences that decode at once")->check(in_range(1, 256));
  add_list_option(command, "--context", options.contexts, "Tokens that each of them holds")->check(in_range(2, 1 << 20));
  command.add_option("--context-tokens", options.context_tokens_max, "Leave out rows whose sequences hold more than this together")
      ->type_name("N")
      ->check(in_range(1, 1 << 30))
      ->capture_default_str();
  add_list_option(command, "--adapters", arguments.adapters, "Of a batch: none, one shared, each sequence a distinct one")
      ->type_name("USE,...")
      ->check(CLI::IsMember({"none", "shared", "distinct"}).description(""));
  add_list_option(command, "--ranks", arguments.ranks, "Ranks of the adapters; mixed: 8, 16 and 64 in rotation");
  add_list_option(command, "--targets", arguments.targets, "Modules that they change: qv, or all seven of a layer")
      ->type_name("qv|all")
      ->check(CLI::IsMember({"qv", "all"}).description(""));
}

// Lists of requests, in addition to prompts and decode steps.
void add_list_of_requests_options(CLI::App& command, bench::OfflineOptions& options) {
  command.add_option("--requests", options.requests, "Also run lists of this many requests, --batch of them at a time [no lists]")
      ->type_name("N")
      ->check(in_range(1, 1 << 20));
  command
      .add_option("--requests-waiting", options.requests_waiting,
                  "Requests of a list that wait besides, as at a saturated server; with one --batch only")
      ->type_name("N")
      ->check(in_range(0, 1024))
      ->capture_default_str();
  add_list_option(command, "--adapter-count", options.registered,
                  "Number of distinct adapters used in rotation, in lists and in larger batches [--batch]")
      ->check(in_range(1, 100000));
  command.add_option("--request-prompt", options.request_prompt_tokens, "Prompt tokens of a list's requests")
      ->type_name("N")
      ->check(in_range(1, 1 << 20))
      ->capture_default_str();
  command.add_option("--request-output", options.request_output_tokens, "Output tokens of a list's requests")
      ->type_name("N")
      ->check(in_range(1, 1 << 20))
      ->capture_default_str();
}

void add_measurement_options(CLI::App& command, bench::OfflineOptions& options) {
  command.add_option("--top-p", options.top_p, "Draw tokens at temperature 0.8 with this top-p [1: the most likely token]")
      ->type_name("P")
      ->check(real_range(0.01, 1));
  command.add_option("--repeats", options.repeats, "Repetitions of each row; the figure is the median of theirs")
      ->type_name("N")
      ->check(in_range(1, 1000))
      ->capture_default_str();
  command.add_option("--steps", options.steps, "Decode steps of a repetition; its time is their median")
      ->type_name("N")
      ->check(in_range(1, 10000))
      ->capture_default_str();
}

void add_engine_options(CLI::App& command, BenchOfflineArguments& arguments) {
  command.add_option("--backend", arguments.backend, "cpu, cuda, reference or auto")->type_name("NAME")->capture_default_str();
  command.add_option("--threads", arguments.threads, "Threads that compute; 0: one per core")
      ->type_name("N")
      ->check(in_range(0, 1024))
      ->capture_default_str();
  add_instructions_option(command, arguments.instructions);
  command.add_option("--weights", arguments.weights, "How weights are kept: bf16, int8 or int4 with scales")
      ->type_name("bf16|int8|int4")
      ->check(CLI::IsMember({"bf16", "int8", "int4"}).description(""))
      ->capture_default_str();
  command.add_option("--cuda-products", arguments.cuda_products, "Products on a GPU: by this program's kernels, or by NVIDIA's cuBLASLt")
      ->type_name("own|cublaslt")
      ->check(CLI::IsMember({"own", "cublaslt"}).description(""))
      ->capture_default_str();
  command
      .add_option(
          "--pool-memory", arguments.pool_memory,
          "Memory for KV cache and adapters, such as 4GiB; with less than the default they are evicted and reloaded [what the rows need]")
      ->type_name("SIZE");
  add_compute_option(command, arguments.compute);
  add_memory_options(command, arguments.memory);
  command.add_option("--scratch", arguments.scratch, "Folder for temporary random adapters [the system's]")->type_name("DIR");
}

}  // namespace

CLI::App* add_bench_offline(CLI::App& bench, BenchOfflineArguments& arguments) {
  CLI::App* command = bench.add_subcommand("offline", "Measure prefill and decode through the whole engine, without a server");
  add_row_options(*command, arguments);
  add_list_of_requests_options(*command, arguments.options);
  add_measurement_options(*command, arguments.options);
  add_engine_options(*command, arguments);
  command->add_option("--json", arguments.json, "Also write the rows there: a line of JSON for the machine, and one for each row")
      ->type_name("FILE");
  command->add_flag(
      "--quick", arguments.quick,
      "Use --prompt 16 --batch 1,2 --context 32 --repeats 2 --steps 4 where these are not given: shows that it runs, the figures mean "
      "little");
  command->parse_complete_callback([command, &arguments] {
    if (arguments.quick) make_quick(arguments.options, *command);
  });
  command->footer(
      "Every row is a median of repetitions, through engine, scheduler and sampler. Columns:\n"
      "  tokens/s, ms          of all sequences; of a decode step, or of a prompt up to its first token\n"
      "  MB, GFLOP             what that must read (weights, KV cache, adapters) and compute at least\n"
      "  GB/s, GFLOP/s         what the machine can do: measured before and after the row, the mean of both\n"
      "  floor ms              the larger of MB by GB/s and GFLOP by GFLOP/s: no program can be faster\n"
      "  share                 of the floor that was reached\n"
      "  by op ms              the sum of the floors of all ops: the least for ops that run one after the other\n"
      "  ~                     the machine's limits moved by more than 15 % during the row: measure again\n"
      "Examples:\n"
      "  slora bench offline\n"
      "  slora bench offline --model Llama-3.2-1B --adapters none --context 128 --json llama.jsonl\n"
      "  slora bench offline --adapters none,shared,distinct --batch 16 --context 128 --ranks 8,16,64,mixed --targets qv,all\n"
      "  slora bench offline --adapters distinct --batch 16 --requests 128 --adapter-count 16,1000 --pool-memory 1GiB --prompt 128 "
      "--context 128\n");
  return command;
}

int run_bench_offline(const BenchOfflineArguments& arguments, const std::string& command_line) {
  const Result<bench::OfflineOptions> options = make_options(arguments);
  if (!options) return report(options.error());
  bench::OfflineSetup setup;
  if (!arguments.pool_memory.empty()) {
    const Result<std::uint64_t> bytes = parse_byte_size(arguments.pool_memory);
    if (!bytes) return report({"bad_option", "--pool-memory: " + bytes.error().message, {}});
    setup.pool_bytes = *bytes;
  }
  const Interrupt interrupt("stopping after this row");
  const Result<TemporaryFolder> scratch = make_scratch(arguments.scratch);
  if (!scratch) return report(scratch.error());
  Result<bench::ModelSource> model = bench::find_model(arguments.model, scratch->path());
  if (!model) return report({"bad_option", "--model: " + model.error().message, {}});
  setup.model = *model;
  setup.backend = arguments.backend;
  setup.threads = arguments.threads;
  setup.instructions = instructions_of(arguments.instructions);
  setup.weights = *weight_storage_of(arguments.weights);
  setup.cuda_products = arguments.cuda_products == "cublaslt" ? CudaProducts::cublaslt : CudaProducts::own;
  setup.scratch = scratch->path();
  const Result<PoolUse> pool_use = make_pool_use(arguments.memory);
  if (!pool_use) return report(pool_use.error());
  setup.pool_use = *pool_use;
  bench::MergeCounts merges;
  setup.wrap_backend = bench::backend_wrapper(adapter_product_of(arguments.compute), merges);
  auto bar = std::make_unique<ProgressBar>();
  setup.progress = [&bar](std::string_view what, std::uint64_t done, std::uint64_t total) { bar->show(what, done, total); };
  Result<std::unique_ptr<bench::OfflineBench>> offline = bench::OfflineBench::create(setup, *options);
  bar = std::make_unique<ProgressBar>();
  if (!offline) return report(offline.error());
  BenchLog log;
  if (Status opened = log.open(arguments.json); !opened) return report(opened.error());

  print_head(**offline, bench::left_out_text(*options));
  Json head = machine_record(command_line, (*offline)->probe());
  head["model"] = setup.model.name;
  head["compute"] = arguments.compute.compute;
  head["setup"] = (*offline)->summary();
  log.write(head);
  std::size_t row_count = 0;
  const Status ran = (*offline)->run(
      [&](const bench::OfflineRow& row) {
        ++row_count;
        bar = std::make_unique<ProgressBar>();  // clears its line
        fmt::print("{}\n", bench::offline_table_line(row));
        std::fflush(stdout);
        log.write(to_json(row));
      },
      interrupt.requested());
  bar.reset();
  if (!ran) return report(ran.error());
  const bool interrupted = interrupt.requested().load();
  Json tail = {{"peak_memory_bytes", bench::peak_memory_bytes()}, {"interrupted", interrupted}};
  if (merges.switches > 0) {
    const MergeMeter::Reading reading = MergeMeter(merges).read();
    fmt::print("\nmerged: {}", merge_text(reading));
    tail["merged"] = to_json(reading);
  }
  fmt::print("\nmemory: {} at most\n", shown_byte_size(bench::peak_memory_bytes()));
  log.write(tail);
  if (Status closed = log.close(); !closed) return report(closed.error());
  if (!interrupted) return 0;
  fmt::print("interrupted: {} of {} rows were measured\n", row_count, bench::plan_rows(*options).size());
  return kInterrupted;
}

}  // namespace slora
