#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "adapters/adapter_folder.h"
#include "base/ids.h"
#include "formats/sha256.h"

namespace slora {

// One content of one adapter: what a name pointed to when it was resolved. Small, because there may be thousands: the image layout is
// computed again at each load. Any thread.
class AdapterVersion {
 public:
  struct Origin {
    std::string name;
    FolderPath folder;
    std::uint64_t generation = 0;
    FolderStamp stamp;
  };
  AdapterVersion(AdapterId id, Origin origin, std::uint32_t page_count) : id_(id), origin_(std::move(origin)), page_count_(page_count) {}

  [[nodiscard]] AdapterId id() const { return id_; }
  [[nodiscard]] const std::string& name() const { return origin_.name; }
  [[nodiscard]] const FolderPath& folder() const { return origin_.folder; }
  // Counts the contents seen under the name, from 1.
  [[nodiscard]] std::uint64_t generation() const { return origin_.generation; }
  // The files it was made from.
  [[nodiscard]] const FolderStamp& stamp() const { return origin_.stamp; }
  [[nodiscard]] std::uint32_t page_count() const { return page_count_; }

  // Whose reads may hang together; see lane_of().
  [[nodiscard]] std::uint64_t lane() const { return lane_of(origin_.folder, origin_.stamp); }

  // Whether an image of it is in the pool, as the engine says.
  [[nodiscard]] bool is_resident() const { return resident_.load(std::memory_order_relaxed); }
  void mark_resident() const { resident_.store(true, std::memory_order_relaxed); }
  void mark_evicted() const { resident_.store(false, std::memory_order_relaxed); }

  // SHA-256 of config and tensors, once they have been read in full.
  [[nodiscard]] std::optional<Sha256Digest> identity() const {
    const std::lock_guard lock(mutex_);
    return identity_;
  }

  // Becomes true before take_retired() reports the version, so that a first use after that report sees it here.
  [[nodiscard]] bool is_retired() const { return retired_.load(std::memory_order_acquire); }

 private:
  friend class AdapterStore;
  void mark_retired() const { retired_.store(true, std::memory_order_release); }
  // Records the first identity that is read; afterwards, whether it is still the same.
  [[nodiscard]] bool confirm_identity(const Sha256Digest& identity) const {
    const std::lock_guard lock(mutex_);
    if (!identity_) identity_ = identity;
    return *identity_ == identity;
  }

  const AdapterId id_;
  const Origin origin_;
  const std::uint32_t page_count_;
  mutable std::atomic<bool> resident_ = false;
  mutable std::atomic<bool> retired_ = false;
  mutable std::mutex mutex_;
  mutable std::optional<Sha256Digest> identity_;  // guarded by mutex_
};

}  // namespace slora
