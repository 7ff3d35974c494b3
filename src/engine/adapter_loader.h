#pragma once
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "adapters/adapter_store.h"
#include "backend/page_arena.h"
#include "base/queue.h"
#include "engine/inbox.h"

namespace slora {

// Turns a landed image into what kernels read: addresses instead of places. `pages` are the addresses of the image's pages.
[[nodiscard]] std::unique_ptr<const AdapterView> make_adapter_view(const ImageLayout& layout, std::span<std::byte* const> pages,
                                                                   std::int32_t layer_count);

// Brings adapter images into pool pages on a thread of its own, one after the other, and reports to the inbox. start() is
// called by the engine thread; the destructor waits for the load under way and drops the others.
class AdapterLoader {
 public:
  AdapterLoader(AdapterStore& store, const PageArena& arena, Inbox& inbox);
  ~AdapterLoader();
  AdapterLoader(const AdapterLoader&) = delete;
  AdapterLoader& operator=(const AdapterLoader&) = delete;

  // Requires: `pages` are reserved for this image until its outcome has been reported.
  void start(std::shared_ptr<const AdapterVersion> version, std::vector<PageIndex> pages);

 private:
  struct Load {
    std::shared_ptr<const AdapterVersion> version;
    std::vector<PageIndex> pages;
  };
  void run();
  [[nodiscard]] Result<std::unique_ptr<const AdapterView>> bring_in(const Load& load) const;

  AdapterStore& store_;
  const PageArena& arena_;
  Inbox& inbox_;
  BoundedQueue<Load> loads_;
  std::thread thread_;
};

}  // namespace slora
