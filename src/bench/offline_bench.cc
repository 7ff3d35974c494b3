#include "bench/offline_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <unordered_map>

#include "base/check.h"

namespace slora::bench {
namespace {

constexpr std::uint64_t kFreshSeeds = std::uint64_t{1} << 32;  // above those of the prompts that are reused

std::vector<std::span<const std::byte>> weight_memory(const ModelWeights& weights) {
  std::vector<std::span<const std::byte>> memory;
  const auto add = [&](const LinearWeight& weight) { memory.emplace_back(weight.packed.data(), weight.packed.bytes()); };
  for (const LayerWeights& layer : weights.layers) {
    add(layer.qkv);
    add(layer.o);
    add(layer.router);
    for (const MlpWeights& mlp : layer.mlps) {
      add(mlp.gate_up);
      add(mlp.down);
    }
  }
  add(weights.head);
  return memory;
}

// The steps in which each sequence of a batch got one token and nothing else ran.
struct DecodeSteps {
  std::vector<double> seconds;
  std::vector<double> contexts;  // mean tokens per sequence
};

DecodeSteps find_decode_steps(const EngineRun& run, std::int32_t prompt_tokens) {
  std::unordered_map<SequenceId, std::int32_t> output_counts;
  DecodeSteps found;
  Timestamp previous = run.begin;
  for (const WatchedStep& step : run.steps) {
    bool is_pure = step.events.size() == run.sequences.size();
    double tokens = 0;
    for (const TokenEvent& event : step.events) {
      std::int32_t& count = output_counts[event.sequence];
      is_pure = is_pure && event.token.id >= 0 && !event.end && count > 0;
      tokens += prompt_tokens + count;
      ++count;
    }
    if (is_pure) {
      found.seconds.push_back(seconds(step.at - previous));
      found.contexts.push_back(tokens / static_cast<double>(step.events.size()));
    }
    previous = step.at;
  }
  return found;
}

// Times between consecutive tokens of a sequence.
void add_token_distances(std::vector<double>& distances, const EngineRun& run) {
  std::unordered_map<SequenceId, Timestamp> last;
  for (const WatchedStep& step : run.steps) {
    for (const TokenEvent& event : step.events) {
      if (event.token.id < 0) continue;
      const auto [at, is_first] = last.try_emplace(event.sequence, step.at);
      if (!is_first) distances.push_back(seconds(step.at - at->second));
      at->second = step.at;
    }
  }
}

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, at);
  return *at;
}

// Replaces the runtime's message, which names --max-model-len: bench has no such option.
Error in_our_options(const Error& refusal, const OfflineOptions& options) {
  constexpr std::string_view kTheirs = "--max-model-len: ";
  if (!refusal.message.starts_with(kTheirs) || plan_rows(options).empty()) return refusal;
  return {"bad_option", longest_sequence_text(options) + " are needed; " + refusal.message.substr(kTheirs.size()), {}};
}

}  // namespace

Result<std::unique_ptr<OfflineBench>> OfflineBench::create(const OfflineSetup& setup, const OfflineOptions& options) {
  const Result<ModelConfig> config = read_model_config(setup.model.folder.string());
  if (!config) return tl::unexpected(config.error());
  RuntimeOptions runtime;
  runtime.model_folder = setup.model.folder;
  runtime.model_name = setup.model.name;
  if (setup.model.weights == WeightSource::random) runtime.random_weights_seed = 1;
  runtime.backend = setup.backend;
  runtime.threads = setup.threads;
  runtime.instructions = setup.instructions;
  runtime.weights = setup.weights;
  runtime.cuda_products = setup.cuda_products;
  const DType kv_dtype = setup.backend == "reference" ? DType::f32 : DType::bf16;
  runtime.pool_memory = PoolMemory::at_start;  // as in a server that has been running for a while
  runtime.pool_bytes = setup.pool_bytes ? *setup.pool_bytes : pool_bytes_for(options, *config, kv_dtype);
  runtime.pool_use = setup.pool_use;
  runtime.wrap_backend = setup.wrap_backend;
  runtime.max_model_len = longest_sequence(options);
  if (options.requests_waiting > 0) runtime.running_max = options.batches.front();
  runtime.progress = setup.progress;
  const SteadyClock clock;
  const Timestamp begin = clock.now();
  Result<std::unique_ptr<EngineRunner>> runner = EngineRunner::create(std::move(runtime), options.top_p);
  if (!runner) return tl::unexpected(in_our_options(runner.error(), options));
  const double load_seconds = seconds(clock.now() - begin);
  return std::unique_ptr<OfflineBench>(new OfflineBench(setup, options, std::move(*runner), load_seconds));
}

OfflineBench::OfflineBench(const OfflineSetup& setup, const OfflineOptions& options, std::unique_ptr<EngineRunner> runner,
                           double load_seconds)
    : setup_(setup),
      options_(options),
      runner_(std::move(runner)),
      load_seconds_(load_seconds),
      adapters_(setup.scratch, runner_->runtime().model_config()),
      probe_(setup.threads, weight_memory(runner_->runtime().model().weights()), setup.instructions) {}

Status OfflineBench::run(const std::function<void(const OfflineRow&)>& on_row, const std::atomic<bool>& stop) {
  const std::vector<PlannedRow> rows = plan_rows(options_);
  if (Status provided = provide_adapters(rows); !provided) return provided;
  for (std::size_t i = 0; i < rows.size() && !stop.load(); ++i) {
    if (setup_.progress) setup_.progress(fmt::format("Row {} of {}", i + 1, rows.size()), i, rows.size());
    Result<OfflineRow> row = measure(rows[i]);
    if (!row) return forward_error(row);
    on_row(*row);
  }
  return {};
}

std::vector<std::string> OfflineBench::summary() const {
  std::vector<std::string> lines = runner_->runtime().summary();
  lines.push_back(
      fmt::format("loaded: in {:.1f} s{}", load_seconds_, setup_.model.weights == WeightSource::random ? ", weights drawn at random" : ""));
  return lines;
}

Result<OfflineRow> OfflineBench::measure(const PlannedRow& plan) {
  OfflineRow row;
  row.plan = plan;
  Status measured;
  switch (plan.kind) {
    case OfflineKind::prefill:
      measured = measure_prefill(row);
      break;
    case OfflineKind::decode:
      measured = measure_decode(row);
      break;
    case OfflineKind::requests:
      measured = measure_requests(row);
      break;
  }
  if (!measured) return forward_error(measured);
  row.after = probe_.measure();
  row.limits = mean(row.before, row.after);
  if (plan.kind != OfflineKind::requests) count_work(row);
  return row;
}

// Before any is loaded: adapters share weight files, and another link to a file counts as a change of it.
Status OfflineBench::provide_adapters(const std::vector<PlannedRow>& rows) {
  std::map<AdapterKind, std::int32_t> counts;
  for (const PlannedRow& row : rows) {
    const AdapterSetting& setting = row.adapters;
    if (setting.use == AdapterUse::none) continue;
    std::int32_t& count = counts[setting.kind];
    count = std::max(count, setting.use == AdapterUse::shared ? 1 : std::max(setting.registered, row.batch));
  }
  for (const auto& [kind, count] : counts) {
    if (Status provided = adapters_.provide(runner_->runtime().adapters(), kind, count); !provided) return provided;
  }
  return {};
}

// Each repetition has a new prompt, so that no prefix is cached.
Status OfflineBench::measure_prefill(OfflineRow& row) {
  for (std::int32_t repeat = -1; repeat < options_.repeats; ++repeat) {
    if (repeat == 0) row.before = probe_.measure();
    const std::vector<SequenceToRun> prompt = sequences_of(row.plan, row.plan.tokens, 1, 1);
    const Result<EngineRun> run = runner_->run(prompt, 1);
    if (!run) return tl::unexpected(run.error());
    if (repeat >= 0) row.seconds.push_back(seconds(run->steps.back().at - run->begin));
  }
  row.tokens_per_second = row.plan.tokens / median(row.seconds);
  return {};
}

// The prompts are prefilled beforehand, so that the measured run finds them in the prefix cache and all sequences decode at once.
Status OfflineBench::measure_decode(OfflineRow& row) {
  const std::int32_t prompt_tokens = prompt_tokens_for(options_, row.plan.tokens);
  const auto batch = static_cast<std::size_t>(row.plan.batch);
  const Result<EngineRun> warm = runner_->run(sequences_of(row.plan, prompt_tokens, 1, row.plan.batch), batch);
  if (!warm) return tl::unexpected(warm.error());
  row.before = probe_.measure();
  const Result<EngineRun> run = runner_->run(sequences_of(row.plan, prompt_tokens, generated_tokens(options_), row.plan.batch), batch);
  if (!run) return tl::unexpected(run.error());

  const DecodeSteps steps = find_decode_steps(*run, prompt_tokens);
  const auto wanted = static_cast<std::size_t>(measured_tokens(options_));
  if (steps.seconds.size() < wanted) {
    return error("E_RUN",
                 "only {} steps had all {} sequences in them, {} were wanted. A pool that is too small for them (--pool-memory) is one of "
                 "the reasons; prompts that were still computed, or sequences that the scheduler kept waiting, are others",
                 steps.seconds.size(), batch, wanted);
  }
  const auto begin = static_cast<std::ptrdiff_t>((steps.seconds.size() - wanted) / 2);
  for (std::int32_t repeat = 0; repeat < options_.repeats; ++repeat) {
    const auto first = steps.seconds.begin() + begin + repeat * options_.steps;
    row.seconds.push_back(median({first, first + options_.steps}));
  }
  const auto first_context = steps.contexts.begin() + begin;
  row.context = std::accumulate(first_context, first_context + static_cast<std::ptrdiff_t>(wanted), 0.0) / static_cast<double>(wanted);
  row.tokens_per_second = row.plan.batch / median(row.seconds);
  return {};
}

Status OfflineBench::measure_requests(OfflineRow& row) {
  std::vector<double> distances;
  row.before = probe_.measure();
  const std::uint64_t loads = runner_->runtime().engine().stats().scheduler.adapter_loads;
  for (std::int32_t repeat = 0; repeat < options_.repeats; ++repeat) {
    const std::vector<SequenceToRun> list = sequences_of(row.plan, row.plan.tokens, options_.request_output_tokens, options_.requests);
    const Result<EngineRun> run = runner_->run(list, static_cast<std::size_t>(row.plan.batch + options_.requests_waiting));
    if (!run) return tl::unexpected(run.error());
    row.seconds.push_back(seconds(run->steps.back().at - run->begin));
    add_token_distances(distances, *run);
  }
  row.adapter_loads = runner_->runtime().engine().stats().scheduler.adapter_loads - loads;
  row.output_tokens = std::int64_t{options_.requests} * options_.request_output_tokens;
  row.tokens_per_second = static_cast<double>(row.output_tokens) / median(row.seconds);
  row.token_seconds_p50 = percentile(distances, 0.5);
  row.token_seconds_p99 = percentile(distances, 0.99);
  return {};
}

void OfflineBench::count_work(OfflineRow& row) const {
  const PlannedRow& plan = row.plan;
  StepShape step;
  step.output_rows = plan.batch;
  const bool is_prefill = plan.kind == OfflineKind::prefill;
  const SpanShape span = is_prefill ? SpanShape{0, plan.tokens} : SpanShape{std::llround(row.context) - 1, 1};
  step.spans.assign(static_cast<std::size_t>(plan.batch), span);
  const AdapterSetting& adapters = plan.adapters;
  for (std::int32_t i = 0; i < adapters.count_in(plan.batch); ++i) {
    step.adapters.push_back({parameter_count(runner_->runtime().model_config(), adapters.kind.targets, adapters.kind.rank_of(i)),
                             span.count * adapters.sequences_of(i, plan.batch)});
  }
  const Model& model = runner_->runtime().model();
  const std::vector<Work> works = work_of(model, step);
  row.arithmetic = setup_.weights != WeightStorage::bf16 ? Arithmetic::int8 : Arithmetic::bf16;
  row.work = sum(works);
  row.floor_seconds = floor_seconds(row.work, row.arithmetic, row.limits);
  for (const Work& work : works) row.by_op_seconds += floor_seconds(work, row.arithmetic, row.limits);
}

// Decoding reuses its prompts; all else takes new ones, and lists use the adapters in rotation.
std::vector<SequenceToRun> OfflineBench::sequences_of(const PlannedRow& plan, std::int32_t prompt_tokens, std::int32_t output_tokens,
                                                      std::int64_t count) {
  std::vector<SequenceToRun> sequences;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t seed = plan.kind == OfflineKind::decode ? static_cast<std::uint64_t>(i) : kFreshSeeds + next_seed_++;
    const std::int64_t adapter = plan.kind == OfflineKind::requests ? next_adapter_++ : i;
    sequences.push_back({runner_->random_prompt(prompt_tokens, seed), output_tokens, plan.adapters.adapter_of(adapter)});
  }
  return sequences;
}

}  // namespace slora::bench
