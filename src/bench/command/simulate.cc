#include "bench/command/simulate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "bench/command/log.h"
#include "bench/command/rate_runs.h"
#include "bench/machine_facts.h"
#include "bench/simulation/cost_fit.h"
#include "bench/simulation/setting.h"
#include "bench/workload/saturation.h"
#include "bench/workload/serving_charts.h"
#include "bench/workload/trace_file.h"
#include "cli/interrupt.h"
#include "cli/option_range.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"

namespace slora {
namespace {

using bench::ReleasedOrder;

constexpr std::array kReleasedOrders = {ReleasedOrder::fcfs, ReleasedOrder::lcfs, ReleasedOrder::abort, ReleasedOrder::clustered,
                                        ReleasedOrder::merged};
constexpr const char* kDefaultDevice = "A10G";
constexpr const char* kDefaultSetting = "S2";
constexpr std::int64_t kFitPoolTokens = 16384;  // a fit says nothing of the machine's memory

// A device of that name, or one that is fitted to measured steps, with the fit's errors printed.
Result<bench::SimulationSetup> make_device_setup(const BenchSimulateArguments& arguments) {
  const std::string& setting = arguments.study.setting;
  const std::string device = arguments.study.device.empty() ? kDefaultDevice : arguments.study.device;
  const std::int64_t pool_tokens = arguments.pool_tokens == 0 && !arguments.fit.empty() ? kFitPoolTokens : arguments.pool_tokens;
  Result<bench::SimulationSetup> setup = bench::make_setup(device, setting.empty() ? kDefaultSetting : setting, pool_tokens);
  if (!setup || arguments.fit.empty()) return setup;
  const Result<std::vector<bench::MeasuredStep>> steps = bench::read_measured_steps(arguments.fit);
  if (!steps) return error("bad_option", "--fit: {}", steps.error().message);
  const Result<bench::CostFit> fit = bench::fit_device(*steps);
  if (!fit) return error("bad_option", "--fit: {}: {}", arguments.fit, fit.error().message);
  for (const std::string& line : lines_of(*fit, *steps)) fmt::print("{}\n", line);
  fmt::print("\n");
  setup->device = fit->device;
  return setup;
}

Result<bench::SimulationSetup> make_simulation_setup(const BenchSimulateArguments& arguments) {
  Result<bench::SimulationSetup> setup = make_device_setup(arguments);
  if (!setup) return setup;
  const Result<PoolUse> use = make_pool_use(arguments.memory);
  if (!use) return tl::unexpected(use.error());
  SchedulerOptions& scheduler = setup->scheduler;
  scheduler.eviction = use->eviction;
  scheduler.prefetched_sequences = use->prefetched_sequences;
  if (use->separate_adapter_bytes > 0) {
    const auto pages = static_cast<std::uint64_t>(static_cast<double>(use->separate_adapter_bytes) / setup->model.page_bytes());
    const std::uint32_t least = setup->model.adapter_pages(*std::ranges::max_element(setup->ranks));
    if (pages < least || pages >= scheduler.page_count) {
      return error("bad_option", "--separate-adapter-memory: expected {} to {} of the pool's {} pages of {} bytes, found {}", least,
                   scheduler.page_count - 1, scheduler.page_count, setup->model.page_bytes(), pages);
    }
    scheduler.adapter_pages_separate = static_cast<std::uint32_t>(pages);
  }
  setup->slo_seconds = arguments.rates.serving.slo_seconds;
  if (arguments.compute == "padded") setup->compute = bench::AdapterCompute::padded;
  setup->policy.name = arguments.policy;
  setup->policy.adapter_group.adapters_max = static_cast<std::size_t>(arguments.cluster_adapters);
  setup->policy.deadlines.first_token_slo = std::chrono::duration_cast<Timestamp>(std::chrono::duration<double>(setup->slo_seconds));
  if (arguments.first_token_reward == "attainment") setup->policy.deadlines.reward = FirstTokenReward::attainment;
  const auto order = std::ranges::find(kReleasedOrders, arguments.policy, [](ReleasedOrder one) { return name_of(one); });
  if (order != kReleasedOrders.end()) {
    bench::use_released(*setup, *order, arguments.cluster_adapters);
    return setup;
  }
  const Result<std::unique_ptr<Policy>> policy = make_policy(setup->policy);
  if (!policy) return error("bad_option", "--{}; or slora-fcfs, -lcfs, -abort, -cluster, -merge", policy.error().message);
  return setup;
}

// Runs the traces of one source through one simulated server, and reports each run.
class SimulatedServer {
 public:
  SimulatedServer(const BenchSimulateArguments& arguments, bench::SimulationSetup setup, const TraceSource& source,
                  const Interrupt& interrupt)
      : arguments_(arguments), setup_(std::move(setup)), source_(source), interrupt_(interrupt) {}

  Status open(const std::string& command_line) {
    if (Status checked = check_svg(arguments_.study.svg); !checked) return checked;
    if (Status opened = log_.open(arguments_.study.json); !opened) return opened;
    const bench::MachineFacts facts = bench::machine_facts();
    log_.write({{"command", command_line},
                {"simulated", true},
                {"device", setup_.device.name},
                {"model", setup_.model.name},
                {"pool_pages", setup_.scheduler.page_count},
                {"requests", source_.description()},
                {"commit", facts.commit},
                {"date", facts.date}});
    return {};
  }

  // Nothing when it was interrupted.
  Result<std::optional<bench::ServingMetrics>> run(std::optional<double> rate) {
    const Result<bench::Trace> trace = source_.make(rate);
    if (!trace) return tl::unexpected(trace.error());
    if (const std::string& path = arguments_.workload.write_trace; !path.empty() && runs_.empty()) {
      if (const Status written = bench::write_trace(path, *trace); !written)
        return error("bad_option", "--write-trace: {}", written.error().message);
    }
    const Timestamp begin = SteadyClock().now();
    Result<bench::SimulationOutcome> outcome = simulate_with_bar(*trace);
    if (!outcome) return forward_error(outcome);
    if (interrupt_.requested().load()) return std::nullopt;
    const bench::ServingMetrics metrics = bench::serving_metrics_of(*trace, outcome->served, arguments_.rates.serving);
    print(*outcome, metrics, seconds(SteadyClock().now() - begin));
    record(*outcome, metrics);
    if (runs_.empty()) charts_ = bench::latency_charts(arguments_.policy, *trace, outcome->served);
    runs_.push_back({rate.value_or(metrics.offered_per_second), metrics});
    return metrics;
  }

  void record_saturation(const bench::Saturation& found) { report_saturation(found, arguments_.rates, log_); }

  Status close() {
    if (Status closed = log_.close(); !closed) return closed;
    if (runs_.size() > 1) charts_ = bench::rate_charts(std::vector<bench::RateCurve>{{arguments_.policy, runs_}});
    return write_svg(arguments_.study.svg, charts_);
  }

 private:
  Result<bench::SimulationOutcome> simulate_with_bar(const bench::Trace& trace) {
    constexpr double kUnits = 1000;
    ProgressBar bar;
    return bench::simulate(trace, setup_, [&](double share) {
      bar.show("Simulating", static_cast<std::uint64_t>(share * kUnits), static_cast<std::uint64_t>(kUnits));
      return !interrupt_.requested().load();
    });
  }

  void print(const bench::SimulationOutcome& outcome, const bench::ServingMetrics& metrics, double wall_seconds) const {
    if (!runs_.empty()) fmt::print("\n");
    for (const std::string& line : bench::lines_of(metrics)) fmt::print("{}\n", line);
    const double steps = static_cast<double>(std::max<std::uint64_t>(outcome.steps, 1));
    fmt::print("steps         {}, of {:.1f} sequences with {:.1f} adapters; {} preemptions\n", outcome.steps,
               outcome.sequence_steps / steps, outcome.adapter_steps / steps, outcome.stats.preemptions);
    fmt::print("adapters      {} loads of {:.2f} GB in {:.1f} s; {} merges\n", outcome.stats.adapter_loads, outcome.copied_bytes / 1e9,
               outcome.copy_seconds, outcome.merges);
    fmt::print("simulated     {:.0f} s on {} in {:.2f} s\n", outcome.seconds, setup_.device.name, wall_seconds);
    std::fflush(stdout);
  }

  void record(const bench::SimulationOutcome& outcome, const bench::ServingMetrics& metrics) {
    log_.write({{"summary", to_json(metrics)},
                {"steps", outcome.steps},
                {"preemptions", outcome.stats.preemptions},
                {"adapter_loads", outcome.stats.adapter_loads},
                {"copied_bytes", outcome.copied_bytes},
                {"merges", outcome.merges}});
  }

  const BenchSimulateArguments& arguments_;
  const bench::SimulationSetup setup_;
  const TraceSource& source_;
  const Interrupt& interrupt_;
  BenchLog log_;
  std::vector<bench::SaturationRun> runs_;
  std::vector<LineChart> charts_;  // of the first run, until there are more
};

void add_server_options(CLI::App& command, BenchSimulateArguments& arguments) {
  command.add_option("--device", arguments.study.device, "A10G, A100-40, A100-80 or H200 [a study: all of its own; else A10G]")
      ->type_name("NAME");
  command
      .add_option(
          "--setting", arguments.study.setting,
          "Model and ranks: S1, S2 (Llama-7B), S4 (Llama-13B), L3 (Llama-3-8B), Q2 (Qwen2.5-0.5B) [a study: all of its own; else S2]")
      ->type_name("NAME");
  command.add_option("--fit", arguments.fit, "Instead of a device: costs fitted to the rows of `slora bench offline --json`")
      ->type_name("FILE");
  command.add_option("--pool-tokens", arguments.pool_tokens, "Size of the pool, as tokens of KV cache [as S-LoRA had it on the device]")
      ->type_name("N")
      ->check(in_range(1024, 1 << 30));
  command
      .add_option(
          "--policy", arguments.policy,
          policy_summaries() + "; slora-fcfs, slora-lcfs, slora-abort, slora-cluster, slora-merge: the queue of S-LoRA's repository")
      ->type_name("NAME")
      ->capture_default_str();
  command.add_option("--first-token-reward", arguments.first_token_reward, "Of deadline: what counts when not all can be in time")
      ->type_name("satisfaction|attainment")
      ->check(CLI::IsMember({"satisfaction", "attainment"}).description(""))
      ->capture_default_str();
  command.add_option("--batch-adapters", arguments.cluster_adapters, "d, of adapter-grouped and slora-cluster")
      ->type_name("N")
      ->check(in_range(1, 1 << 20))
      ->capture_default_str();
  command
      .add_option("--compute", arguments.compute, "Adapters as they lie, each once; or copied and padded to the largest rank of a batch")
      ->type_name("gathered|padded")
      ->check(CLI::IsMember({"gathered", "padded"}).description(""))
      ->capture_default_str();
  add_memory_options(command, arguments.memory);
}

}  // namespace

CLI::App* add_bench_simulate(CLI::App& bench, BenchSimulateArguments& arguments) {
  CLI::App* command = bench.add_subcommand("simulate", "Run the scheduler in virtual time, against a model of a device's cost");
  CLI::Option* study = command
                           ->add_option("--study", arguments.study.name,
                                        "A study, below, instead of one workload; takes --device, --setting, --seeds, files")
                           ->type_name("NAME");
  CLI::Option* seeds = command->add_option("--seeds", arguments.study.seeds, "Of a study: traces of which figures are means [1]")
                           ->type_name("N")
                           ->check(in_range(1, 100));
  add_server_options(*command, arguments);
  add_workload_options(*command, arguments.workload);
  add_rate_options(*command, arguments.rates);
  command->add_option("--json", arguments.study.json, "Write figures there, a line of JSON for each run")->type_name("FILE");
  command->add_option("--svg", arguments.study.svg, "Draw them there")->type_name("FILE");
  // A study says itself what is simulated; an option that it would ignore is refused.
  command->parse_complete_callback([command, study, seeds] {
    static const std::set<std::string> kTaken = {"--study", "--seeds", "--device", "--setting", "--json", "--svg"};
    for (const CLI::Option* const option : command->get_options()) {
      const bool is_known = kTaken.contains(option->get_name());
      if (study->count() > 0 && option->count() > 0 && !is_known) throw CLI::ExcludesError("--study", option->get_name());
    }
    if (seeds->count() > 0 && study->count() == 0) throw CLI::RequiresError("--seeds", "--study");
  });
  command->footer(
      "The scheduler, the pool and the policies are those of the server. What a step costs is computed from data sheets, or fitted with\n"
      "--fit: nothing is measured (docs/benchmarks.md).\nStudies:\n" +
      study_help() +
      "Examples:\n"
      "  slora bench simulate --study abort --device A10G --svg abort.svg\n"
      "  slora bench simulate --policy deadline --workload zipf --adapter-count 100000 --rates 1,1.5,2\n"
      "  slora bench simulate --fit bench/results/2026-11-21-decode-and-prefill.jsonl --setting Q2 --rate 1");
  return command;
}

int run_bench_simulate(const BenchSimulateArguments& arguments, const std::string& command_line) {
  if (!arguments.study.name.empty()) return run_simulate_study(arguments.study, command_line);
  Result<bench::SimulationSetup> setup = make_simulation_setup(arguments);
  if (!setup) return report(setup.error());
  Result<TraceSource> source = TraceSource::create(arguments.workload);
  if (!source) return report(source.error());
  if (Status checked = check_search(arguments.rates, *source); !checked) return report(checked.error());
  const Interrupt interrupt("stopping this simulation");
  SimulatedServer server(arguments, std::move(*setup), *source, interrupt);
  if (Status opened = server.open(command_line); !opened) return report(opened.error());
  const Result<RatesOutcome> ran = run_rates(arguments.rates, *source, [&](std::optional<double> rate) { return server.run(rate); });
  if (!ran) return report(ran.error());
  if (ran->saturation) server.record_saturation(*ran->saturation);
  if (Status closed = server.close(); !closed) return report(closed.error());
  if (!interrupt.requested().load()) return 0;
  fmt::print("interrupted\n");
  return kInterrupted;
}

}  // namespace slora
