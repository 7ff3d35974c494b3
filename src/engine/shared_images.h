#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "adapters/adapter_version.h"
#include "adapters/image_layout.h"
#include "base/ids.h"

namespace slora {

// Where a load puts an image: into pages of its own, and into those of the images that it shares with others, unless they were written.
struct LoadPages {
  struct Shared {
    AdapterId id;
    std::vector<PageIndex> pages;
    SharedPart part = SharedPart::write;
  };
  std::vector<PageIndex> own;
  std::vector<Shared> shared{};  // of AdapterVersion::shared(), in any order

  // Whether some of it is to be written.
  [[nodiscard]] SharedPart shared_part() const {
    const bool writes = std::ranges::find(shared, SharedPart::write, &Shared::part) != shared.end();
    return writes ? SharedPart::write : SharedPart::leave;
  }
};

struct PlannedLoad {
  std::shared_ptr<const AdapterVersion> version;
  LoadPages pages;
};

// Which of the pool's shared images have been written. The first load that uses one writes it; others that use it wait until that one has
// ended, so that nobody writes pages that another writes or reads. When it fails, the next of them writes instead. Owned by the engine's
// loop, used on its thread.
class SharedImages {
 public:
  // A load that is to begin as soon as what it shares is written, or is its own to write.
  void add(PlannedLoad load);
  // The next one that may begin, with what it has to write; nothing when there is none.
  [[nodiscard]] std::optional<PlannedLoad> take_next();
  // The load of this adapter, which take_next() returned, has ended.
  void note_landed(AdapterId adapter);
  void note_failed(AdapterId adapter);
  // The shared image has left the pool.
  void forget(AdapterId shared) { states_.erase(shared); }

 private:
  struct State {
    AdapterId writer = kNoAdapter;  // whose load is writing it
    std::uint64_t lane = 0;         // of that load
    bool is_written = false;
  };

  [[nodiscard]] bool may_begin(const PlannedLoad& load) const;

  std::unordered_map<AdapterId, State> states_;  // by shared image; absent: not written
  std::vector<PlannedLoad> waiting_;             // in the order in which they are tried
};

}  // namespace slora
