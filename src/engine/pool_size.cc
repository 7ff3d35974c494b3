#include "engine/pool_size.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string_view>

#include "adapters/image_layout.h"
#include "engine/memory_limits.h"

namespace slora {

Result<KvGeometry> choose_kv_geometry(const RuntimeOptions& options, const ModelConfig& config, const ShardShape& shape, DType dtype) {
  if (options.page_tokens &&
      (*options.page_tokens < 1 || *options.page_tokens > 64 || !std::has_single_bit(static_cast<unsigned>(*options.page_tokens)))) {
    return error("E_PAGE_TOKENS", "--page-tokens: expected a power of two from 1 to 64, found {}", *options.page_tokens);
  }
  const KvGeometry kv = make_kv_geometry(config, shape, dtype, options.page_tokens.value_or(default_page_tokens(config, shape, dtype)));
  if (kv.page_bytes() < kPageBytesMin || kv.page_bytes() > std::numeric_limits<std::uint32_t>::max()) {
    return error("E_PAGE_TOKENS", "--page-tokens: pages of {} tokens are {} bytes on this model; expected {} to {}", kv.page_tokens,
                 kv.page_bytes(), kPageBytesMin, std::numeric_limits<std::uint32_t>::max());
  }
  return kv;
}

namespace {

constexpr double kPositionsMax = 1 << 24;

// Of what is free on a device, in percent: the rest is for graphs, and for what the runtime takes.
constexpr std::uint64_t kDeviceShare = 92;

// `available`: besides the scratch. On a device nothing but the pool comes after it.
std::uint64_t default_pool_bytes(const RuntimeOptions& options, std::uint64_t available, const FreeMemory& memory) {
  if (memory.of == FreeMemory::Of::device) return available / 100 * kDeviceShare;
  const std::uint64_t others = options.other_bytes + options.pool_use.host_adapter_bytes;
  return std::min(kPoolBytesDefaultMax, (available - std::min(available, others)) / 2);
}

}  // namespace

FreeMemory free_memory(const Backend& backend) {
  if (const std::optional<DeviceMemory> device = backend.memory()) return {device->free, FreeMemory::Of::device};
  return {available_memory_bytes(), FreeMemory::Of::host};
}

std::uint64_t default_pool_bytes_max(const FreeMemory& memory) {
  return memory.of == FreeMemory::Of::device ? memory.bytes : kPoolBytesDefaultMax;
}

Result<std::uint64_t> choose_pool_bytes(const RuntimeOptions& options, std::size_t page_bytes, std::uint64_t scratch_bytes,
                                        const FreeMemory& memory) {
  // At least one byte: 0 means that the system gives no number.
  const std::uint64_t available = memory.bytes == 0 ? 0 : std::max(memory.bytes, scratch_bytes + 1) - scratch_bytes;
  const std::uint64_t wanted = options.pool_bytes ? *options.pool_bytes : default_pool_bytes(options, available, memory);
  const std::string_view origin = options.pool_bytes                    ? "--pool-memory"
                                  : memory.of == FreeMemory::Of::device ? "92 % of the device's free memory"
                                                                        : "half of the free memory";
  if (available != 0 && wanted > available) {
    return error("E_POOL", "--pool-memory: {:.2f} GiB were requested, and {:.2f} GiB are free after loading the weights", gib(wanted),
                 gib(available));
  }
  if (wanted < 4 * page_bytes || wanted / page_bytes > kPageCountMax) {
    return error("E_POOL", "pool: {} bytes ({}) are {} pages of {} bytes; expected 4 to {}: change --pool-memory or --page-tokens", wanted,
                 origin, wanted / page_bytes, page_bytes, kPageCountMax);
  }
  return wanted / page_bytes * page_bytes;
}

Result<std::uint32_t> separate_adapter_pages(std::uint64_t bytes, std::uint32_t page_count, std::uint64_t page_bytes) {
  const std::uint64_t pages = bytes / page_bytes;
  if (pages >= 1 && pages < page_count) return static_cast<std::uint32_t>(pages);
  return error("E_POOL", "--separate-adapter-memory: {} bytes are {} pages of {} bytes; expected 1 to {}", bytes, pages, page_bytes,
               page_count - 1);
}

Status take_pool_memory(const RuntimeOptions& options, const ModelShards& model) {
  if (!model.shard(0).backend->shares_host_memory()) return {};  // a device's memory was taken when it was allocated
  const std::uint64_t shard_bytes = model.shard(0).arena->page_bytes() * std::uint64_t{model.page_count()};
  const std::uint64_t bytes = shard_bytes * static_cast<std::uint64_t>(model.shard_count());
  const std::uint64_t available = available_memory_bytes();
  if (available != 0 && bytes > available) {
    return error("E_POOL", "pool: its {} are to be taken at the start, and {} are free; give less --pool-memory", shown_bytes(bytes),
                 shown_bytes(available));
  }
  for (std::int32_t shard = 0; shard < model.shard_count(); ++shard) {
    prefault({model.shard(shard).arena->base(), shard_bytes}, [&](std::uint64_t done, std::uint64_t) {
      if (options.progress) options.progress("Preparing the pool", static_cast<std::uint64_t>(shard) * shard_bytes + done, bytes);
    });
  }
  return {};
}

Status check_weight_bytes(std::uint64_t weight_bytes, const FreeMemory& memory) {
  if (memory.bytes == 0 || weight_bytes <= memory.bytes) return {};
  return error("E_MEMORY", "model: its packed weights take {:.2f} GiB, and {:.2f} GiB of {}memory are free", gib(weight_bytes),
               gib(memory.bytes), memory.of == FreeMemory::Of::device ? "the device's " : "");
}

std::int64_t trained_positions(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  if (rope.kind == RopeKind::dynamic || rope.kind == RopeKind::longrope)
    return std::min(rope.original_max_position, config.max_position_embeddings);
  if (rope.kind == RopeKind::yarn) {
    const double extended = std::min(rope.factor * static_cast<double>(rope.original_max_position), kPositionsMax);
    return std::max(config.max_position_embeddings, static_cast<std::int64_t>(extended));
  }
  return config.max_position_embeddings;
}

Result<std::int32_t> choose_max_model_len(const RuntimeOptions& options, const ModelConfig& config, std::int64_t pool_tokens) {
  const std::int64_t trained = trained_positions(config);
  if (!options.max_model_len) return static_cast<std::int32_t>(std::min({trained, pool_tokens, std::int64_t{kPositionsDefaultMax}}));
  if (*options.max_model_len < 2) return error("E_MAX_MODEL_LEN", "--max-model-len: expected at least 2, found {}", *options.max_model_len);
  if (*options.max_model_len > trained) {
    return error("E_MAX_MODEL_LEN", "--max-model-len: {} is beyond the {} positions that the model was made for (config.json, {})",
                 *options.max_model_len, trained,
                 config.rope.kind == RopeKind::dynamic || config.rope.kind == RopeKind::longrope
                     ? "dynamic and longrope RoPE are served up to their original lengths"
                     : "max_position_embeddings");
  }
  if (*options.max_model_len > pool_tokens) {
    return error("E_MAX_MODEL_LEN",
                 "--max-model-len: {} tokens do not fit the pool, which holds {} next to pinned adapters; give it more with "
                 "--pool-memory",
                 *options.max_model_len, pool_tokens);
  }
  return *options.max_model_len;
}

}  // namespace slora
