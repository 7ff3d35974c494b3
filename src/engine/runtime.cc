#include "engine/runtime.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/clock.h"
#include "base/log.h"
#include "comm/communicator.h"
#include "engine/memory_limits.h"
#include "formats/model_files.h"
#include "model/random_weights.h"

namespace slora {
namespace {

constexpr std::uint64_t kPoolBytesDefaultMax = std::uint64_t{8} << 30;
constexpr std::uint64_t kPageCountMax = std::uint64_t{1} << 31;
constexpr double kPositionsMax = 1 << 24;
constexpr std::int32_t kOutputRowsMin = 32;     // logits at a time, so that scoring a prompt reads the head's weights seldom
constexpr std::int32_t kWidestSiteModules = 3;  // q, k, v

double gib(std::uint64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(std::uint64_t{1} << 30); }

std::string shown(std::uint64_t bytes) {
  return bytes >> 30 > 0 ? fmt::format("{:.2f} GiB", gib(bytes)) : fmt::format("{:.1f} MiB", 1024 * gib(bytes));
}

// Positions that the model was made for.
std::int64_t trained_positions(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  if (rope.kind == RopeKind::dynamic) return rope.original_max_position;
  if (rope.kind == RopeKind::yarn) {
    const double extended = std::min(rope.factor * static_cast<double>(rope.original_max_position), kPositionsMax);
    return std::max(config.max_position_embeddings, static_cast<std::int64_t>(extended));
  }
  return config.max_position_embeddings;
}

// The packed weights, and then the pool, must fit what is free: memory is given when it is touched, so a promise that can't be kept
// would end the process hours later.
Status check_weight_bytes(std::uint64_t weight_bytes) {
  const std::uint64_t available = available_memory_bytes();
  if (available == 0 || weight_bytes <= available) return {};
  return error("E_MEMORY", "model: its packed weights take {:.2f} GiB, and {:.2f} GiB of memory are free", gib(weight_bytes),
               gib(available));
}

Result<std::uint64_t> choose_pool_bytes(const RuntimeOptions& options, std::size_t page_bytes) {
  const std::uint64_t available = available_memory_bytes();
  const std::uint64_t wanted = options.pool_bytes ? *options.pool_bytes : std::min(kPoolBytesDefaultMax, available / 2);
  const std::string_view origin = options.pool_bytes ? "--pool-memory" : "half of the free memory";
  if (available != 0 && wanted > available) {
    return error("E_POOL", "--pool-memory: {:.2f} GiB were asked for, and {:.2f} GiB are free beside the weights", gib(wanted),
                 gib(available));
  }
  if (wanted < 4 * page_bytes || wanted / page_bytes > kPageCountMax) {
    return error("E_POOL", "pool: {} bytes ({}) are {} pages of {} bytes; expected 4 to {}: change --pool-memory or --page-tokens", wanted,
                 origin, wanted / page_bytes, page_bytes, kPageCountMax);
  }
  return wanted / page_bytes * page_bytes;
}

// Last before the engine: it takes long, and by now the rest has its memory.
Status take_pool_memory(const RuntimeOptions& options, const PageArena& arena) {
  const std::uint64_t bytes = arena.page_bytes() * std::uint64_t{arena.page_count()};
  const std::uint64_t available = available_memory_bytes();
  if (available != 0 && bytes > available) {
    return error("E_POOL", "pool: its {} are to be taken at the start, and {} are free; give less --pool-memory", shown(bytes),
                 shown(available));
  }
  prefault({arena.base(), bytes}, [&](std::uint64_t done, std::uint64_t total) {
    if (options.progress) options.progress("Preparing the pool", done, total);
  });
  return {};
}

// `file_bytes`: what files held, or as it was when the weights are drawn.
Result<ModelWeights> make_weights(const RuntimeOptions& options, const ModelConfig& config, const ShardShape& shape, Backend& backend,
                                  std::uint64_t& file_bytes) {
  const auto progress = [&](std::uint64_t done, std::uint64_t total) {
    if (options.progress) options.progress("Loading weights", done, total);
  };
  if (Status fits = check_weight_bytes(packed_bytes(config, shape, backend)); !fits) return forward_error(fits);
  if (options.random_weights_seed) return random_weights(config, shape, backend, *options.random_weights_seed, progress);
  const Result<ModelFiles> files = ModelFiles::open(options.model_folder.string());
  if (!files) return tl::unexpected(files.error());
  file_bytes = files->total_bytes();
  return load_weights(*files, config, shape, backend, progress);
}

Result<std::int32_t> choose_max_model_len(const RuntimeOptions& options, const ModelConfig& config, std::int64_t pool_tokens) {
  const std::int64_t trained = trained_positions(config);
  if (!options.max_model_len) return static_cast<std::int32_t>(std::min({trained, pool_tokens, std::int64_t{1} << 20}));
  if (*options.max_model_len < 2) return error("E_MAX_MODEL_LEN", "--max-model-len: expected at least 2, found {}", *options.max_model_len);
  if (*options.max_model_len > trained) {
    return error("E_MAX_MODEL_LEN", "--max-model-len: {} is beyond the {} positions that the model was made for (config.json, {})",
                 *options.max_model_len, trained,
                 config.rope.kind == RopeKind::dynamic ? "dynamic RoPE is served up to its original length" : "max_position_embeddings");
  }
  if (*options.max_model_len > pool_tokens) {
    return error("E_MAX_MODEL_LEN", "--max-model-len: {} tokens do not fit the pool, which holds {}; give it more with --pool-memory",
                 *options.max_model_len, pool_tokens);
  }
  return *options.max_model_len;
}

}  // namespace

struct Runtime::Parts {
  ModelConfig config;
  GenerationConfig generation;
  std::unique_ptr<Backend> backend;
  SingleCommunicator communicator;
  std::unique_ptr<Model> model;
  std::unique_ptr<PageArena> arena;
  std::unique_ptr<AdapterStore> adapters;
  MetricsRegistry metrics;
  std::int32_t max_model_len = 0;
  std::uint64_t weight_bytes = 0;
  std::uint64_t file_bytes = 0;  // that were read; 0: weights were drawn
  double loading_seconds = 0;
  std::unique_ptr<Engine> engine;  // last: uses all others
};

Runtime::~Runtime() = default;

Result<std::unique_ptr<Runtime>> Runtime::create(RuntimeOptions options, Engine::EventSink sink) {
  auto runtime = std::unique_ptr<Runtime>(new Runtime());
  runtime->parts_ = std::make_unique<Parts>();
  Parts& parts = *runtime->parts_;
  const std::string folder = options.model_folder.string();

  Result<ModelConfig> config = read_model_config(folder);
  if (!config) return forward_error(config);
  parts.config = std::move(*config);
  Result<GenerationConfig> generation = read_generation_config(folder, parts.config.vocab_size);
  if (!generation) return forward_error(generation);
  parts.generation = std::move(*generation);
  Result<std::unique_ptr<Backend>> backend = create_backend(options.backend, {.threads = options.threads, .weights = options.weights});
  if (!backend) return forward_error(backend);
  parts.backend = std::move(*backend);

  const Timestamp start = SteadyClock().now();
  Result<ModelWeights> weights = make_weights(options, parts.config, whole_shape(parts.config), *parts.backend, parts.file_bytes);
  if (!weights) return forward_error(weights);
  parts.loading_seconds = seconds(SteadyClock().now() - start);
  parts.weight_bytes = packed_bytes(parts.config, whole_shape(parts.config), *parts.backend);

  if (options.page_tokens &&
      (*options.page_tokens < 1 || *options.page_tokens > 64 || !std::has_single_bit(static_cast<unsigned>(*options.page_tokens)))) {
    return error("E_PAGE_TOKENS", "--page-tokens: expected a power of two from 1 to 64, found {}", *options.page_tokens);
  }
  const DType kv_dtype = parts.backend->kv_dtype();
  const KvGeometry kv = make_kv_geometry(parts.config, kv_dtype, options.page_tokens.value_or(default_page_tokens(parts.config, kv_dtype)));
  if (kv.page_bytes() < kPageBytesMin || kv.page_bytes() > std::numeric_limits<std::uint32_t>::max()) {
    return error("E_PAGE_TOKENS", "--page-tokens: pages of {} tokens are {} bytes on this model; expected {} to {}", kv.page_tokens,
                 kv.page_bytes(), kPageBytesMin, std::numeric_limits<std::uint32_t>::max());
  }
  const Result<std::uint64_t> pool_bytes = choose_pool_bytes(options, kv.page_bytes());
  if (!pool_bytes) return tl::unexpected(pool_bytes.error());
  parts.arena = std::make_unique<PageArena>(parts.backend->allocate(*pool_bytes), kv.page_bytes());

  EngineOptions engine;
  engine.scheduler.page_count = parts.arena->page_count();
  engine.scheduler.page_tokens = kv.page_tokens;
  engine.scheduler.step_tokens_max = options.step_tokens_max;
  engine.scheduler.running_max = std::min(options.running_max, options.step_tokens_max);
  engine.scheduler.waiting_max = options.waiting_max;
  engine.model_name = options.model_name;
  const Result<std::int32_t> max_model_len = choose_max_model_len(options, parts.config, tokens_that_fit(engine.scheduler, 0));
  if (!max_model_len) return tl::unexpected(max_model_len.error());
  parts.max_model_len = engine.max_model_len = *max_model_len;

  const ModelLimits limits{options.step_tokens_max, std::max(engine.scheduler.running_max, kOutputRowsMin),
                           kWidestSiteModules * kAdapterRankMax, parts.max_model_len};
  parts.adapters = std::make_unique<AdapterStore>(
      AdapterBase{make_module_table(parts.config), parts.backend->adapter_format(), kv.page_bytes(), kAdapterRankMax});
  parts.model = std::make_unique<Model>(parts.config, std::move(*weights), *parts.backend, parts.communicator, kv, limits);
  for (const auto& [name, path] : options.named_adapters) {
    if (const Status added = parts.adapters->add_folder(name, path.string()); !added) return tl::unexpected(added.error());
  }
  for (const std::filesystem::path& root : options.adapter_folders) {
    if (const Result<std::int32_t> added = parts.adapters->add_root(root.string()); !added) return tl::unexpected(added.error());
  }
  Result<std::unique_ptr<Policy>> policy = make_policy(options.policy);
  if (!policy) return forward_error(policy);
  if (options.pool_memory == PoolMemory::at_start) {
    if (Status taken = take_pool_memory(options, *parts.arena); !taken) return forward_error(taken);
  }
  parts.engine =
      std::make_unique<Engine>(engine, *parts.model, *parts.arena, *parts.adapters, parts.metrics, std::move(*policy), std::move(sink));
  return runtime;
}

const ModelConfig& Runtime::model_config() const { return parts_->config; }
const GenerationConfig& Runtime::generation_config() const { return parts_->generation; }
Model& Runtime::model() { return *parts_->model; }
Engine& Runtime::engine() { return *parts_->engine; }
AdapterStore& Runtime::adapters() { return *parts_->adapters; }
MetricsRegistry& Runtime::metrics() { return parts_->metrics; }
std::int32_t Runtime::max_model_len() const { return parts_->max_model_len; }

std::vector<std::string> Runtime::summary() const {
  const Parts& parts = *parts_;
  const KvGeometry& kv = parts.model->kv_geometry();
  std::vector<std::string> lines;
  const std::string loading = parts.file_bytes == 0 ? fmt::format("drawn in {:.2f} s", parts.loading_seconds)
                                                    : fmt::format("{} of files read in {:.2f} s ({:.2f} GiB/s)", shown(parts.file_bytes),
                                                                  parts.loading_seconds, gib(parts.file_bytes) / parts.loading_seconds);
  lines.push_back(fmt::format("model: {}, {} layers, hidden {}, vocabulary {}, weights {} as packed, {}", name_of(parts.config.family),
                              parts.config.layer_count, parts.config.hidden_size, parts.config.vocab_size, shown(parts.weight_bytes),
                              loading));
  lines.push_back(fmt::format("backend: {}", parts.backend->description()));
  lines.push_back(
      fmt::format("pool: {}, {} pages of {} KiB ({} tokens each), shared by KV cache, adapters and cached prefixes; context {} tokens",
                  shown(parts.arena->page_bytes() * std::uint64_t{parts.arena->page_count()}), parts.arena->page_count(),
                  kv.page_bytes() / 1024, kv.page_tokens, parts.max_model_len));
  const std::vector<AdapterListing> adapters = parts.adapters->list();
  const auto refused = std::ranges::count_if(adapters, [](const AdapterListing& adapter) { return adapter.refused.has_value(); });
  lines.push_back(fmt::format("adapters: {} registered, {} refused", adapters.size(), refused));
  return lines;
}

}  // namespace slora
