#include "bench/command/kernels.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/command/log.h"
#include "bench/model_source.h"
#include "cli/instructions_option.h"
#include "cli/interrupt.h"
#include "cli/option_range.h"
#include "cli/runtime_arguments.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using bench::OpGroup;

constexpr std::pair<const char*, OpGroup> kGroups[] = {{"products", OpGroup::products},
                                                       {"adapters", OpGroup::adapters},
                                                       {"attention", OpGroup::attention},
                                                       {"rows", OpGroup::rows},
                                                       {"sampling", OpGroup::sampling}};

bench::OpOptions make_options(const BenchKernelsArguments& arguments) {
  bench::OpOptions options = arguments.options;
  options.backend_options.weights = *weight_storage_of(arguments.weights);
  options.backend_options.cuda_products = arguments.cuda_products == "cublaslt" ? CudaProducts::cublaslt : CudaProducts::own;
  options.backend_options.instructions = instructions_of(arguments.instructions);
  if (arguments.groups.empty()) return options;
  options.groups.clear();
  for (const auto& [name, group] : kGroups) {
    if (std::ranges::find(arguments.groups, name) != arguments.groups.end()) options.groups.push_back(group);
  }
  return options;
}

}  // namespace

CLI::App* add_bench_kernels(CLI::App& bench, BenchKernelsArguments& arguments) {
  CLI::App* command = bench.add_subcommand("kernels", "Measure single ops at a model's shapes");
  const auto add_list = [&](const char* name, auto& list, const char* what) {
    return command->add_option(name, list, what)->delimiter(',')->type_name("N,...")->capture_default_str();
  };
  bench::OpOptions& options = arguments.options;
  command->add_option("--model", arguments.model, "Whose shapes: a model folder, a config.json, or a shape that comes with slora")
      ->type_name("MODEL")
      ->capture_default_str();
  add_list("--ops", arguments.groups, "What to measure: products, adapters, attention, rows, sampling [all]")
      ->type_name("OPS,...")
      ->check(CLI::IsMember({"products", "adapters", "attention", "rows", "sampling"}).description(""));
  add_list("--rows", options.rows, "Rows of a batch")->check(in_range(1, 4096));
  add_list("--ranks", options.ranks, "Ranks of adapters")->check(in_range(1, 512));
  constexpr std::int32_t kTokensMax = bench::kAttendTokensMax;
  static_assert(kTokensMax == 32768, "as the help says it");
  add_list("--context", options.contexts, "Tokens that decoding sequences hold; batches of more than 32768 together are left out")
      ->check(in_range(1, kTokensMax));
  command->add_option("--weights", arguments.weights, "How weights are kept: bf16, int8 or int4 with scales")
      ->type_name("bf16|int8|int4")
      ->check(CLI::IsMember({"bf16", "int8", "int4"}).description(""))
      ->capture_default_str();
  command->add_option("--cuda-products", arguments.cuda_products, "Products on a GPU: by this program's kernels, or by NVIDIA's cuBLASLt")
      ->type_name("own|cublaslt")
      ->check(CLI::IsMember({"own", "cublaslt"}).description(""))
      ->capture_default_str();
  add_instructions_option(*command, arguments.instructions);
  command->add_option("--backend", options.backend, "cpu, cuda, reference or auto")->type_name("NAME")->capture_default_str();
  command->add_option("--threads", options.backend_options.threads, "Threads that compute; 0: one per core")
      ->type_name("N")
      ->check(in_range(0, 1024))
      ->capture_default_str();
  command->add_option("--repeats", options.repeats, "Repetitions of each row; the figure is their median")
      ->type_name("N")
      ->check(in_range(1, 1000))
      ->capture_default_str();
  command->add_option("--json", arguments.json, "Also write the rows there, a line of JSON each")->type_name("FILE");
  command->footer(
      "What a step reads from memory is read from memory here: ops use many copies of it in rotation. GB/s and GFLOP/s are the op's;\n"
      "its floor is what the machine's own, measured before and after each row, allow. Ops without one work on what caches hold.\n"
      "Examples:\n"
      "  slora bench kernels\n"
      "  slora bench kernels --ops products --model Llama-3.2-1B --rows 1,16,512 --weights int8\n");
  return command;
}

int run_bench_kernels(const BenchKernelsArguments& arguments, const std::string& command_line) {
  const Interrupt interrupt("stopping after this row");
  const Result<TemporaryFolder> scratch = TemporaryFolder::create();
  if (!scratch) return report(scratch.error());
  const Result<bench::ModelSource> model = bench::find_model(arguments.model, scratch->path());
  if (!model) return report({"bad_option", "--model: " + model.error().message, {}});
  const Result<ModelConfig> config = read_model_config(model->folder.string());
  if (!config) return report(config.error());
  const Result<std::unique_ptr<bench::OpBench>> ops = bench::OpBench::create(*config, make_options(arguments));
  if (!ops) return report(ops.error());
  BenchLog log;
  if (Status opened = log.open(arguments.json); !opened) return report(opened.error());

  print_machine((*ops)->probe());
  fmt::print("backend: {}\nmodel: {}\n\n{}\n", (*ops)->description(), model->name, bench::op_table_head());
  Json head = machine_record(command_line, (*ops)->probe());
  head["model"] = model->name;
  head["backend"] = (*ops)->description();
  log.write(head);
  std::size_t row_count = 0;
  (*ops)->run(
      [&](const bench::OpRow& row) {
        ++row_count;
        fmt::print("{}\n", bench::op_table_line(row));
        std::fflush(stdout);
        log.write(to_json(row));
      },
      interrupt.requested());
  const bool interrupted = interrupt.requested().load();
  if (interrupted) log.write({{"interrupted", true}});
  if (Status closed = log.close(); !closed) return report(closed.error());
  if (!interrupted) return 0;
  fmt::print("interrupted: {} rows were measured, others were not\n", row_count);
  return kInterrupted;
}

}  // namespace slora
