#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <unordered_map>

#include "adapters/adapter_version.h"
#include "backend/op_args.h"
#include "base/clock.h"
#include "base/result.h"

namespace slora {

// The adapters that the engine has to do with: which versions live sequences use, which loads are under way, and the views of the images
// that are resident in the pool. When to load and to evict is the scheduler's decision. Owned by the engine's loop, used on its thread.
class AdapterUse {
 public:
  // One more live sequence uses this version, which is kept alive until the last release() and the end of its load.
  void acquire(const std::shared_ptr<const AdapterVersion>& version);
  // One fewer. Requires: acquire() was called for it.
  void release(AdapterId adapter);
  // Why its latest load failed; null when none did. Requires: a live sequence uses it.
  [[nodiscard]] const Error* failure_of(AdapterId adapter) const;

  // A load begins now; returns the version to load. Requires: a live sequence uses it, and no load of it is under way.
  [[nodiscard]] std::shared_ptr<const AdapterVersion> begin_load(AdapterId adapter, Timestamp now);
  // Requires: begin_load().
  [[nodiscard]] const AdapterVersion& version_of(AdapterId adapter) { return *find(adapter)->second.version; }
  // The load has ended, in an image or in a failure; returns when it began. Requires: begin_load().
  Timestamp land(AdapterId adapter, std::unique_ptr<const AdapterView> view, Timestamp now);
  Timestamp fail(AdapterId adapter, Error failure);

  // The view of a resident image, or null.
  [[nodiscard]] const AdapterView* view_of(AdapterId adapter) const;
  // The image has left the pool. Requires: no step that reads it is running.
  void evict(AdapterId adapter);

  // Calls `visit` with each version whose image is resident, as long as other parts of the server have it.
  template <class Visit>
  void visit_resident(Visit visit) const {
    for (const auto& [id, entry] : entries_) {
      if (const std::shared_ptr<const AdapterVersion> version = entry.view ? entry.resident.lock() : nullptr) visit(*version);
    }
  }

  // How long the load took by which the resident image came, if it ended after `since`.
  [[nodiscard]] std::optional<float> load_seconds_since(AdapterId adapter, Timestamp since) const;

  [[nodiscard]] std::size_t resident_count() const { return resident_count_; }
  [[nodiscard]] std::size_t loading_count() const { return loading_count_; }

 private:
  struct Entry {
    std::shared_ptr<const AdapterVersion> version;  // null when only the image is left
    std::size_t sequence_count = 0;                 // live sequences that use it
    std::optional<Timestamp> loading_since;
    Timestamp landed_at{};                         // when the latest load ended in an image
    float load_seconds = 0;                        // how long that took
    std::optional<Error> failure;                  // of the latest load
    std::unique_ptr<const AdapterView> view;       // of the resident image, or null
    std::weak_ptr<const AdapterVersion> resident;  // whose image that is; other parts of the server may have dropped it
  };
  using Entries = std::unordered_map<AdapterId, Entry>;

  [[nodiscard]] Entries::iterator find(AdapterId adapter);
  Timestamp end_load(Entry& entry);
  void forget_if_unused(Entries::iterator entry);

  Entries entries_;  // each has a live sequence, a load or an image
  std::size_t resident_count_ = 0;
  std::size_t loading_count_ = 0;
};

}  // namespace slora
