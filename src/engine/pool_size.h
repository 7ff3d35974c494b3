#pragma once
#include <cstddef>
#include <cstdint>

#include "engine/model_shards.h"
#include "engine/runtime.h"

// How large the pool is and what its pages hold, chosen from the options, the model's shape and the memory that is free. Where a page is
// meant to be that of all shards together, `page_bytes` says so. Used once, by Runtime::create().
namespace slora {

inline constexpr std::uint64_t kPoolBytesDefaultMax = std::uint64_t{8} << 30;  // of the host's memory
inline constexpr std::uint64_t kPageCountMax = std::uint64_t{1} << 31;
inline constexpr std::int32_t kPositionsDefaultMax = 1 << 20;  // unless --max-model-len allows more

// What weights and the pool may take.
struct FreeMemory {
  std::uint64_t bytes = 0;  // 0: the system gives no number
  enum class Of : std::uint8_t { host, device } of = Of::host;
};
// Where these backends compute: all in the host's memory, or one on a device.
[[nodiscard]] FreeMemory free_memory(const Backend& backend);
// Bytes of the largest pool that is chosen without --pool-memory.
[[nodiscard]] std::uint64_t default_pool_bytes_max(const FreeMemory& memory);

// "E_PAGE_TOKENS" when pages of the wanted number of tokens are impossible, or too small or too large on this model.
[[nodiscard]] Result<KvGeometry> choose_kv_geometry(const RuntimeOptions& options, const ModelConfig& config, const ShardShape& shape,
                                                    DType dtype);
// Whole pages. `page_bytes`: of a page on all shards. `scratch_bytes`: what will be allocated in addition to the pool. "E_POOL" when the
// memory is not free, or holds too few or too many pages.
[[nodiscard]] Result<std::uint64_t> choose_pool_bytes(const RuntimeOptions& options, std::size_t page_bytes, std::uint64_t scratch_bytes,
                                                      const FreeMemory& memory);
// The pages of --separate-adapter-memory: at least one, and one left for sequences; otherwise "E_POOL". `page_bytes`: of a page on all
// shards.
[[nodiscard]] Result<std::uint32_t> separate_adapter_pages(std::uint64_t bytes, std::uint32_t page_count, std::uint64_t page_bytes);
// Commits the pool's physical memory; "E_POOL" when it is not free. Runs last before the engine: it takes long, and by then everything else
// is allocated.
[[nodiscard]] Status take_pool_memory(const RuntimeOptions& options, const ModelShards& model);
// The packed weights, and then the pool, must fit in free memory: the system allocates it at first use, so an allocation that is too large
// would end the process hours later. "E_MEMORY".
[[nodiscard]] Status check_weight_bytes(std::uint64_t weight_bytes, const FreeMemory& memory);

// Positions that the model was trained for.
[[nodiscard]] std::int64_t trained_positions(const ModelConfig& config);
// What --max-model-len allows, or without it what model and pool do. "E_MAX_MODEL_LEN".
[[nodiscard]] Result<std::int32_t> choose_max_model_len(const RuntimeOptions& options, const ModelConfig& config, std::int64_t pool_tokens);

}  // namespace slora
