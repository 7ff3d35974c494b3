#pragma once
#include <cstring>
#include <span>
#include <vector>

#include "engine/model_shards.h"

namespace slora {

// Fills pages with NaN when they become free, so that a test fails that reads what it has not written. For StressMode::poison_freed, on
// backends that share the host's memory. Owned by the engine's loop, on its thread.
class PagePoison {
 public:
  void fill(std::span<const PageIndex> free_pages, const ModelShards& model) {
    if (!model.shard(0).backend->shares_host_memory()) return;
    is_filled_.resize(model.page_count());
    is_free_.assign(model.page_count(), false);
    for (const PageIndex page : free_pages) is_free_[page.value] = true;
    for (std::uint32_t page = 0; page < model.page_count(); ++page) {
      for (std::int32_t shard = 0; is_free_[page] && !is_filled_[page] && shard < model.shard_count(); ++shard) {
        const PageArena& arena = *model.shard(shard).arena;
        std::memset(arena.page(PageIndex{page}), 0xff, arena.page_bytes());  // NaN in bf16 and f32 alike
      }
    }
    is_filled_.swap(is_free_);
  }

 private:
  std::vector<bool> is_filled_, is_free_;  // [pages]
};

}  // namespace slora
