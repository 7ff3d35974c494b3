#include "engine/runtime.h"

#include <algorithm>
#include <bit>
#include <set>

#include "backend/device_error.h"
#include "base/log.h"
#include "comm/thread_communicator.h"
#include "engine/extended_positions.h"
#include "engine/image_copy.h"
#include "engine/loaded_weights.h"
#include "engine/memory_limits.h"
#include "engine/pool_size.h"
#include "formats/gguf_names.h"
#include "formats/model_folder.h"
#include "formats/pooling_config.h"

namespace slora {
namespace {

constexpr std::int32_t kOutputRowsMin = 32;     // logits at a time, so that scoring a prompt reads the head's weights seldom
constexpr std::int32_t kWidestSiteModules = 3;  // q, k, v

Result<std::vector<ShardShape>> make_shard_shapes(const RuntimeOptions& options, const ModelConfig& config) {
  if (options.shard_count < 1 || options.shard_count > kShardsMax) {
    return error("E_SHARDS", "--shards: expected 1 to {}, found {}", kShardsMax, options.shard_count);
  }
  std::vector<ShardShape> shapes;
  for (std::int32_t shard = 0; shard < options.shard_count; ++shard) {
    const Result<ShardShape> shape = make_shard_shape(config, shard, options.shard_count);
    if (!shape) return error(shape.error().code, "--shards: {}", shape.error().message);
    shapes.push_back(*shape);
  }
  return shapes;
}

Result<std::vector<std::unique_ptr<Backend>>> make_backends(const RuntimeOptions& options) {
  const BackendOptions of_each{options.threads, options.shard_count, options.instructions, options.weights, options.cuda_products};
  std::vector<std::unique_ptr<Backend>> backends;
  for (std::int32_t shard = 0; shard < options.shard_count; ++shard) {
    Result<std::unique_ptr<Backend>> backend = create_backend(options.backend, of_each);
    if (!backend) return forward_error(backend);
    backends.push_back(options.wrap_backend ? options.wrap_backend(std::move(*backend)) : std::move(*backend));
  }
  return backends;
}

// Requires: the backend's choice was made where the options had none.
std::int32_t running_max_of(const RuntimeOptions& options) { return std::min(options.running_max, options.step_tokens_max.value()); }

// Where ranks are split, each shard's columns are as many as the largest share's.
ModelLimits make_model_limits(const RuntimeOptions& options, std::int64_t position_count, std::int64_t extended_position_count) {
  return {options.step_tokens_max.value(), std::max(running_max_of(options), kOutputRowsMin),
          kWidestSiteModules * kAdapterRankMax + options.shard_count - 1, position_count, extended_position_count};
}

ModelShape model_shape_of(const ModelConfig& config, const ShardShape& shard, const ModelLimits& limits) {
  std::vector<std::int32_t> windows(config.window.begin(), config.window.end());
  std::ranges::sort(windows);
  windows.erase(std::unique(windows.begin(), windows.end()), windows.end());
  return {.layers = config.layer_count,
          .heads = shard.heads.count,
          .kv_heads = shard.kv_heads.count,
          .head_dim = shard.head_dim,
          .hidden = config.hidden_size,
          .intermediate = shard.mlp.count,
          .vocabulary = config.vocab_size,
          .further_ops_of = config.needs_further_ops() ? name_of(config.family) : std::string_view(),
          .windows = std::move(windows),
          .step_rows_max = limits.step_tokens_max,
          .output_rows_max = limits.output_rows_max};
}

// `page_bytes`: of a page on all shards.
PolicyOptions policy_options_of(const RuntimeOptions& options, std::uint64_t page_bytes) {
  PolicyOptions policy = options.policy;
  const std::uint64_t pages = options.adapter_group_bytes.value_or(~std::uint64_t{0}) / page_bytes;
  policy.adapter_group.pages_max = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(pages, 1, policy.adapter_group.pages_max));
  return policy;
}

// The config and the files of weights; null if weights are drawn.
struct OpenedModel {
  ModelConfig config;
  std::shared_ptr<const ModelFiles> files;
};

Result<OpenedModel> open_model(const RuntimeOptions& options) {
  const std::string folder = options.model_folder.string();
  const auto refuse = [&](const Error& why) { return error(why.code, "{}: {}", folder, why.message); };
  OpenedModel model;
  if (options.random_weights_seed) {
    Result<ModelConfig> config = read_model_config(folder);
    if (!config) return refuse(config.error());
    model.config = std::move(*config);
  } else {
    Result<ModelFolder> opened = open_model_folder(folder, options.weight_rounding);
    if (!opened) return refuse(opened.error());
    if (const QuantisedWeights& quantised = opened->quantised; quantised.count > 0) {
      const bool is_fp32 = options.backend == "reference" && options.weights == WeightStorage::bf16;
      const std::string_view kept = is_fp32 ? "fp32" : name_of(options.weights);
      log_info("model: {} weights are quantised ({}): dequantised, and kept in {}", quantised.count, quantised.description, kept);
    }
    model = {std::move(opened->config), std::make_shared<const ModelFiles>(std::move(opened->files))};
  }
  for (const std::string& warning : model.config.warnings) log_warning("model: {}", warning);
  if (model.files != nullptr && is_gguf_path(folder)) {
    log_info("model: its tensors are widened to the type of the products as they are read: {}", shown_stored_types(*model.files));
  }
  if (options.weight_rounding == WeightRounding::nf4) log_info("model: the weights of its layers are what NF4 keeps of them");
  return model;
}

// The scratch of the models of all shards, which is allocated after the pool's size has been chosen: at most this, because a smaller pool
// allows fewer positions.
std::uint64_t scratch_bytes_max(const RuntimeOptions& options, const ModelConfig& config, std::span<const ShardShape> shapes,
                                std::span<const std::unique_ptr<Backend>> backends, const KvGeometry& kv, const FreeMemory& memory) {
  const std::uint64_t pages = options.pool_bytes.value_or(default_pool_bytes_max(memory)) / (kv.page_bytes() * shapes.size());
  const auto pool_tokens = static_cast<std::int64_t>(std::min(pages, kPageCountMax)) * kv.page_tokens;
  const std::int64_t wanted = std::max(std::int64_t{options.max_model_len.value_or(kPositionsDefaultMax)}, std::int64_t{0});
  const ModelLimits limits = make_model_limits(options, std::min({wanted, trained_positions(config), pool_tokens}),
                                               extended_positions(options, config, *backends.front(), pool_tokens));
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < shapes.size(); ++i) bytes += Model::scratch_bytes(config, shapes[i], *backends[i], limits);
  return bytes;
}

std::vector<std::unique_ptr<Communicator>> make_communicators(std::int32_t shard_count) {
  if (shard_count > 1) return ThreadCommunicator::make_group(shard_count);
  std::vector<std::unique_ptr<Communicator>> single;
  single.push_back(std::make_unique<SingleCommunicator>());
  return single;
}

std::unique_ptr<ModelShards> make_model_shards(const ModelConfig& config, std::vector<std::unique_ptr<Backend>> backends,
                                               std::vector<ModelWeights> weights, const KvGeometry& kv, const ModelLimits& limits,
                                               std::uint32_t page_count) {
  std::vector<std::unique_ptr<Communicator>> communicators = make_communicators(static_cast<std::int32_t>(backends.size()));
  std::vector<ModelShard> shards(backends.size());
  for (std::size_t i = 0; i < shards.size(); ++i) {
    ModelShard& shard = shards[i];
    shard.backend = std::move(backends[i]);
    shard.communicator = std::move(communicators[i]);
    shard.arena = std::make_unique<PageArena>(shard.backend->allocate(page_count * kv.page_bytes()), kv.page_bytes());
    shard.model = std::make_unique<Model>(config, std::move(weights[i]), *shard.backend, *shard.communicator, kv, limits);
  }
  return std::make_unique<ModelShards>(std::move(shards));
}

Status add_adapters(const RuntimeOptions& options, AdapterStore& store) {
  for (const auto& [name, path] : options.named_adapters) {
    if (Status added = store.add_folder(name, path.string()); !added) {
      return error(added.error().code, "--lora-modules: {} for {}: {}", quote(name), path.string(), added.error().message);
    }
    std::error_code ignored;
    if (!std::filesystem::is_directory(path, ignored)) {
      log_warning("--lora-modules: {}: there is no folder {}; the adapter is served once it is there", quote(name), path.string());
    }
  }
  for (const std::filesystem::path& root : options.adapter_folders) {
    if (Result<std::int32_t> added = store.add_root(root.string()); !added) {
      return error(added.error().code, "--adapters: {}", added.error().message);
    } else if (*added == 0) {
      log_warning("--adapters: no adapter was found in {}: expected folders in it with an adapter_config.json each", root.string());
    }
  }
  return {};
}

// Pages that pinned adapters take. Looks at their folders.
Result<std::uint32_t> pages_of_pinned(const RuntimeOptions& options, AdapterStore& store, std::uint32_t page_count) {
  std::uint64_t pages = 0;
  std::set<SharedImage> shared;
  for (const std::string& name : options.pinned_adapters) {
    const AdapterStore::Found version = store.resolve(name);
    if (!version) return error(version.error().code, "--pin: {}: {}", quote(name), version.error().message);
    pages += (*version)->page_count();
    for (const SharedImage& image : (*version)->shared()) pages += shared.insert(image).second ? image.page_count : 0;
    if (pages < page_count) continue;
    return error("E_POOL", "--pin: with {}, the pinned adapters take {} pages, and the pool has {}; give it more with --pool-memory",
                 quote(name), pages, page_count);
  }
  return static_cast<std::uint32_t>(pages);
}

// A folder whose file can't be read still serves everything but embeddings without a pooling of their own.
Pooling choose_pooling(const RuntimeOptions& options) {
  if (options.pooling) return *options.pooling;
  const Result<Pooling> found = read_pooling_config(options.model_folder.string());
  if (!found) log_warning("embeddings: {}; requests have to say their pooling", found.error().message);
  return found ? *found : Pooling::none;
}

// For the start-up log; nothing where the model is in one piece.
std::optional<std::string> shards_line(const ModelShards& model) {
  if (model.shard_count() == 1) return std::nullopt;
  const ShardShape& shape = model.first_model().weights().shape;
  const int threads = model.shard(0).backend->thread_count();
  return fmt::format(
      "shards: {} in this process, each with {} {}, {} of the heads, {} of the KV heads, {} of the MLP and {} tokens of the vocabulary",
      model.shard_count(), threads, threads == 1 ? "thread" : "threads", shape.heads.count, shape.kv_heads.count, shape.mlp.count,
      shape.vocabulary.count);
}

}  // namespace

struct Runtime::Parts {
  ModelConfig config;
  std::unique_ptr<ModelShards> model;
  std::unique_ptr<AdapterStore> adapters;
  MetricsRegistry metrics;
  std::int32_t max_model_len = 0;
  std::int32_t max_model_len_unpinned = 0;   // what it would be without pinned adapters
  std::uint32_t adapter_pages_separate = 0;  // 0: adapters share the pool with the KV cache
  std::string policy_name;
  std::uint64_t weight_bytes = 0;
  std::uint64_t file_bytes = 0;  // that were read; 0: weights were drawn
  double loading_seconds = 0;
  std::unique_ptr<Engine> engine;  // last: uses all others
};

Runtime::~Runtime() = default;

Result<std::unique_ptr<Runtime>> Runtime::create(RuntimeOptions options, Engine::EventSink sink) try {
  auto runtime = std::unique_ptr<Runtime>(new Runtime());
  runtime->parts_ = std::make_unique<Parts>();
  Parts& parts = *runtime->parts_;
  Result<OpenedModel> opened = open_model(options);
  if (!opened) return forward_error(opened);
  parts.config = opened->config;
  Result<std::vector<ShardShape>> shapes = make_shard_shapes(options, parts.config);
  if (!shapes) return forward_error(shapes);
  Result<std::vector<std::unique_ptr<Backend>>> backends = make_backends(options);
  if (!backends) return forward_error(backends);
  if (!options.step_tokens_max) options.step_tokens_max = backends->front()->step_tokens_default();
  for (std::size_t i = 0; i < shapes->size(); ++i) {
    const ModelShape shape = model_shape_of(parts.config, (*shapes)[i], make_model_limits(options, 0, 0));
    if (Status prepared = (*backends)[i]->prepare_model(shape); !prepared) return forward_error(prepared);
  }
  Result<LoadedWeights> weights = make_weights(options, parts.config, opened->files.get(), *shapes, *backends);
  if (!weights) return forward_error(weights);
  parts.loading_seconds = weights->seconds;
  parts.weight_bytes = weights->packed_bytes;
  parts.file_bytes = weights->file_bytes;

  Backend& first = *backends->front();
  const Result<KvGeometry> kv = choose_kv_geometry(options, parts.config, shapes->front(), first.kv_dtype());
  if (!kv) return tl::unexpected(kv.error());
  const auto shard_count = static_cast<std::uint64_t>(options.shard_count);
  const FreeMemory memory = free_memory(first);
  const Result<std::uint64_t> pool_bytes = choose_pool_bytes(
      options, kv->page_bytes() * shard_count, scratch_bytes_max(options, parts.config, *shapes, *backends, *kv, memory), memory);
  if (!pool_bytes) return tl::unexpected(pool_bytes.error());

  EngineOptions engine;
  engine.scheduler.page_count = static_cast<std::uint32_t>(*pool_bytes / (kv->page_bytes() * shard_count));
  engine.scheduler.page_tokens = kv->page_tokens;
  engine.scheduler.depth = options.shard_count == 1 ? first.depth() : 1;  // shards would not know what the first of them drew
  engine.scheduler.step_tokens_max = *options.step_tokens_max;
  engine.scheduler.running_max = running_max_of(options);
  engine.scheduler.waiting_max = options.waiting_max;
  engine.scheduler.eviction = options.pool_use.eviction;
  engine.scheduler.prefetched_sequences = options.pool_use.prefetched_sequences;
  if (options.pool_use.separate_adapter_bytes > 0) {
    const Result<std::uint32_t> pages =
        separate_adapter_pages(options.pool_use.separate_adapter_bytes, engine.scheduler.page_count, kv->page_bytes() * shard_count);
    if (!pages) return tl::unexpected(pages.error());
    parts.adapter_pages_separate = engine.scheduler.adapter_pages_separate = *pages;
  }
  engine.waiting_per_client_max = options.waiting_per_client_max;
  engine.model_name = options.model_name;
  engine.scheduler.adapter_idle_time = options.adapter_idle_time;
  engine.pinned_adapters = options.pinned_adapters;
  engine.pooling = choose_pooling(options);

  const std::int64_t pool_tokens = tokens_that_fit(engine.scheduler, 0);
  if (Status checked = check_max_adapter_len(options, pool_tokens); !checked) return forward_error(checked);
  const std::int64_t extended = extended_positions(options, parts.config, first, pool_tokens);
  AdapterStoreOptions adapters{.look_interval = options.adapter_look_interval, .host_bytes_max = options.pool_use.host_adapter_bytes};
  if (!first.shares_host_memory()) adapters.allocate_host = [&first](std::size_t bytes) { return image_memory(first, bytes); };
  parts.adapters =
      std::make_unique<AdapterStore>(AdapterBase{make_module_table(parts.config, *shapes), first.adapter_format(), kv->page_bytes(),
                                                 kAdapterRankMax, opened->files, std::make_shared<VeraProjections>(), extended},
                                     adapters);
  if (Status added = add_adapters(options, *parts.adapters); !added) return forward_error(added);
  const Result<std::uint32_t> pinned = pages_of_pinned(options, *parts.adapters, engine.scheduler.page_count);
  if (!pinned) return tl::unexpected(pinned.error());
  const auto context_next_to = [&](std::uint32_t pinned_pages) {
    return choose_max_model_len(options, parts.config, tokens_that_fit(engine.scheduler, 0, pinned_pages));
  };
  const Result<std::int32_t> max_model_len = context_next_to(*pinned);
  if (!max_model_len) return tl::unexpected(max_model_len.error());
  parts.max_model_len_unpinned = context_next_to(0).value();  // fits all the more
  parts.max_model_len = engine.max_model_len = engine.scheduler.sequence_tokens_max = *max_model_len;

  const ModelLimits limits = make_model_limits(options, parts.max_model_len, extended);
  parts.model = make_model_shards(parts.config, std::move(*backends), std::move(weights->shards), *kv, limits, engine.scheduler.page_count);
  const PolicyOptions policy = policy_options_of(options, kv->page_bytes() * shard_count);
  if (Result<std::unique_ptr<Policy>> made = make_policy(policy); !made) return forward_error(made);
  parts.policy_name = policy.name;
  if (options.pool_memory == PoolMemory::at_start) {
    if (Status taken = take_pool_memory(options, *parts.model); !taken) return forward_error(taken);
  }
  parts.engine = std::make_unique<Engine>(
      engine, *parts.model, *parts.adapters, parts.metrics, [policy] { return std::move(*make_policy(policy)); }, std::move(sink));
  return runtime;
} catch (const DeviceError& failure) {
  return error("E_DEVICE", "{}", failure.what());
}

const ModelConfig& Runtime::model_config() const { return parts_->config; }
const Model& Runtime::model() const { return parts_->model->first_model(); }
Engine& Runtime::engine() { return *parts_->engine; }
AdapterStore& Runtime::adapters() { return *parts_->adapters; }
MetricsRegistry& Runtime::metrics() { return parts_->metrics; }
std::int32_t Runtime::max_model_len() const { return parts_->max_model_len; }
std::int32_t Runtime::shard_count() const { return parts_->model->shard_count(); }
bool Runtime::wait_for_reads(std::chrono::milliseconds limit) {
  return parts_->adapters->wait_for_looks(limit) && parts_->engine->wait_for_threads(limit);
}
const std::string& Runtime::policy_name() const { return parts_->policy_name; }

std::vector<std::string> Runtime::summary() const {
  const Parts& parts = *parts_;
  const KvGeometry& kv = parts.model->first_model().kv_geometry();
  std::vector<std::string> lines;
  const std::string loading = parts.file_bytes == 0
                                  ? fmt::format("drawn in {:.2f} s", parts.loading_seconds)
                                  : fmt::format("{} of files read in {:.2f} s ({:.2f} GiB/s)", shown_bytes(parts.file_bytes),
                                                parts.loading_seconds, gib(parts.file_bytes) / parts.loading_seconds);
  lines.push_back(fmt::format("model: {}, {} layers, hidden {}, vocabulary {}, weights {} as packed, {}", name_of(parts.config.family),
                              parts.config.layer_count, parts.config.hidden_size, parts.config.vocab_size, shown_bytes(parts.weight_bytes),
                              loading));
  lines.push_back(fmt::format("backend: {}", parts.model->shard(0).backend->description()));
  if (const std::optional<std::string> shards = shards_line(*parts.model)) lines.push_back(*shards);
  const std::uint32_t page_count = parts.model->page_count();
  const std::uint64_t page_bytes = kv.page_bytes() * static_cast<std::uint64_t>(parts.model->shard_count());
  const std::string use = parts.adapter_pages_separate == 0
                              ? "shared by KV cache, adapters and cached prefixes"
                              : fmt::format("{} for adapters, the others for KV cache and cached prefixes", parts.adapter_pages_separate);
  const std::string context =
      parts.max_model_len == parts.max_model_len_unpinned
          ? fmt::format("{} tokens", parts.max_model_len)
          : fmt::format("{} tokens, {} without the pinned adapters", parts.max_model_len, parts.max_model_len_unpinned);
  lines.push_back(fmt::format("pool: {}, {} pages of {} KiB ({} tokens each), {}; context {}", shown_bytes(page_bytes * page_count),
                              page_count, page_bytes / 1024, kv.page_tokens, use, context));
  const AdapterCounts adapters = parts.adapters->counts();
  lines.push_back(fmt::format("adapters: {} served, {} refused", parts.adapters->served().names.size(), adapters.refused));
  if (adapters.unavailable > 0) lines.back() += fmt::format(", {} not available now", adapters.unavailable);
  return lines;
}

}  // namespace slora
