#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter_account.h"
#include "adapters/adapter_folder.h"
#include "adapters/rope_parts.h"
#include "adapters/shared_part.h"
#include "base/ids.h"
#include "base/shared_image.h"
#include "formats/sha256.h"

namespace slora {

class AdapterVersion;

// What of an adapter's content decides how requests may use it.
struct AdapterTraits {
  std::vector<TokenId> invocation_tokens{};  // see AdapterConfig
  bool changes_base = false;                 // not only adds to what the base computes: it cannot be weighted
  std::int32_t z_cols = 0;                   // columns of A x at the site that has most, those of all its modules
  std::int32_t added_tokens = 0;             // beyond the base's vocabulary
  std::shared_ptr<const RopePart> rope{};    // of an adapter that extends the context; null: its positions are the base's
  std::int32_t context_tokens_max = 0;       // of prompt and output; 0: as many as of the base's
  bool operator==(const AdapterTraits&) const = default;
};

// An adapter of a blend by its name.
struct WeightedAdapter {
  std::string name;
  float weight = 1;
  bool operator==(const WeightedAdapter&) const = default;
};

// One adapter of a blend, and what its change of the base is multiplied by.
struct BlendComponent {
  std::shared_ptr<const AdapterVersion> version;
  float weight = 1;
};

// One content of one adapter: what a name pointed to when it was resolved, or, if that was replaced before anything of it was read, when it
// was first loaded; or a blend, the weighted sum of the changes that several make.
// Small, because there may be thousands: the image layout is computed again at each load. Any thread.
class AdapterVersion {
 public:
  struct Origin {
    std::string name;
    FolderPath folder;
    std::uint64_t generation = 0;
    FolderStamp stamp;
    AdapterTraits traits{};
    std::shared_ptr<AdapterAccount> account{};  // shared by all versions of the name; null: it has one of its own
  };
  // `shared`: the image of what it shares, whose id is not used again as long as the version has it; null where it shares nothing.
  AdapterVersion(AdapterId id, Origin origin, const ImageSize& size, std::shared_ptr<const SharedImage> shared);
  AdapterVersion(AdapterId id, Origin origin, std::uint32_t page_count)
      : AdapterVersion(id, std::move(origin), {.page_count = page_count}, nullptr) {}
  // A blend. Requires: components that are no blends.
  AdapterVersion(AdapterId id, std::vector<BlendComponent> components);
  ~AdapterVersion() { mark_evicted(); }
  AdapterVersion(const AdapterVersion&) = delete;
  AdapterVersion& operator=(const AdapterVersion&) = delete;

  [[nodiscard]] AdapterId id() const { return id_; }
  // Of a blend: its formula.
  [[nodiscard]] const std::string& name() const { return origin_.name; }
  // Whose images follow each other in the image of a blend; empty for an adapter.
  [[nodiscard]] std::span<const BlendComponent> components() const { return components_; }
  // Requires, as all that speaks of files and contents below: no blend.
  [[nodiscard]] const FolderPath& folder() const { return origin_.folder; }
  // Counts the contents seen under the name, from 1.
  [[nodiscard]] std::uint64_t generation() const { return origin_.generation; }
  // The files it was made from: those that were looked at or, once it has been read in full, those that were read.
  [[nodiscard]] FolderStamp stamp() const {
    const std::lock_guard lock(mutex_);
    return stamp_;
  }
  // Of its own; those of a blend are its components'.
  [[nodiscard]] std::uint32_t page_count() const { return size_.page_count; }
  // What else it needs in the pool: of an adapter one image or none, of a blend those of its components, each once.
  [[nodiscard]] std::span<const SharedImage> shared() const { return shared_; }
  [[nodiscard]] std::uint32_t pages_in_all() const;
  // Requires: no blend.
  [[nodiscard]] const ImageSize& size() const { return size_; }
  // Of a blend: only what its components have in common, RoPE and context.
  [[nodiscard]] const AdapterTraits& traits() const { return origin_.traits; }
  [[nodiscard]] std::span<const TokenId> invocation_tokens() const { return origin_.traits.invocation_tokens; }

  // Of its name. Of a blend: one that nobody else has, for no adapter can be charged for it.
  [[nodiscard]] AdapterAccount& account() const { return *account_; }

  // Whose reads may hang together; see lane_of(). Of a blend: that of its first component.
  [[nodiscard]] std::uint64_t lane() const {
    return components_.empty() ? lane_of(origin_.folder, origin_.stamp) : components_.front().version->lane();
  }

  // Whether an image of it is in the pool, by itself or in a blend, as the engine says.
  [[nodiscard]] bool is_resident() const { return image_count_.load(std::memory_order_relaxed) > 0; }
  // The same without blends: whether a request for it alone needs no load.
  [[nodiscard]] bool has_image() const { return has_image_.load(std::memory_order_relaxed); }
  void mark_resident() const {
    if (has_image_.exchange(true, std::memory_order_relaxed)) return;
    count_image(1);
    account_->add(AdapterFigure::loads);
  }
  void mark_evicted() const {
    if (has_image_.exchange(false, std::memory_order_relaxed)) count_image(-1);
  }

  // Whether the operator keeps it in the pool, as the engine says.
  [[nodiscard]] bool is_pinned() const { return pinned_.load(std::memory_order_relaxed); }
  void mark_pinned() const { pinned_.store(true, std::memory_order_relaxed); }
  void mark_unpinned() const { pinned_.store(false, std::memory_order_relaxed); }

  // Whether its image is being loaded, as the engine says.
  [[nodiscard]] bool is_loading() const { return loading_.load(std::memory_order_relaxed); }
  void mark_load_begun() const { loading_.store(true, std::memory_order_relaxed); }
  void mark_load_ended() const { loading_.store(false, std::memory_order_relaxed); }

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
  // Records the first identity that is read, and the files; afterwards, whether it is still the same.
  [[nodiscard]] bool confirm_identity(const Sha256Digest& identity, const FolderStamp& files) const {
    const std::lock_guard lock(mutex_);
    if (!identity_) {
      identity_ = identity;
      stamp_ = files;
    }
    return *identity_ == identity;
  }

  void count_image(std::int32_t change) const {
    image_count_.fetch_add(change, std::memory_order_relaxed);
    for (const BlendComponent& component : components_) component.version->count_image(change);
  }

  const AdapterId id_;
  const Origin origin_;
  const std::vector<BlendComponent> components_;
  const ImageSize size_;
  const std::shared_ptr<AdapterAccount> account_;
  const std::shared_ptr<const SharedImage> shared_image_;  // of an adapter
  const std::vector<SharedImage> shared_;
  mutable std::atomic<bool> has_image_ = false;        // its own
  mutable std::atomic<std::int32_t> image_count_ = 0;  // with those of blends
  mutable std::atomic<bool> pinned_ = false;
  mutable std::atomic<bool> loading_ = false;
  mutable std::atomic<bool> retired_ = false;
  mutable std::mutex mutex_;
  mutable std::optional<Sha256Digest> identity_;  // guarded by mutex_
  mutable FolderStamp stamp_;                     // guarded by mutex_
};

}  // namespace slora
