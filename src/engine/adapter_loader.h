#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "adapters/adapter_store.h"
#include "base/work_pool.h"
#include "engine/inbox.h"
#include "engine/model_shards.h"

namespace slora {

// Turns loaded images into what kernels read: addresses instead of places. The view is shard 0's and has those of the other shards with it.
// Requires: layouts and pages of all shards.
[[nodiscard]] std::unique_ptr<const AdapterView> make_adapter_view(AdapterId id, std::span<const ImageLayout> layouts,
                                                                   std::span<const ImagePages> pages, std::int32_t layer_count);

// Reads the adapter's folder and writes every shard's image into these pages of its arena. Any thread.
[[nodiscard]] Result<std::unique_ptr<const AdapterView>> bring_in(AdapterStore& store, const ModelShards& model,
                                                                  const AdapterVersion& version, std::span<const PageIndex> pages);

// Loads adapters on a few threads of its own, so that a folder on a slow disk delays no other, and reports the outcomes to the inbox.
// start() is called by the engine thread; the destructor waits for the loads that are running and drops the queued ones.
class AdapterLoader {
 public:
  // How one adapter is loaded; called on the loader's threads, several at once.
  using BringIn = std::function<Result<std::unique_ptr<const AdapterView>>(const AdapterVersion&, std::span<const PageIndex> pages)>;

  // At most `loads_max` loads wait or are under way at any time.
  AdapterLoader(std::size_t thread_count, std::size_t loads_max, Inbox& inbox, BringIn bring_in);

  // Requires: `pages` are reserved for this image until its outcome has been reported.
  void start(std::shared_ptr<const AdapterVersion> version, std::vector<PageIndex> pages);

 private:
  const BringIn bring_in_;
  Inbox& inbox_;
  WorkPool pool_;  // last: its jobs use the others
};

}  // namespace slora
