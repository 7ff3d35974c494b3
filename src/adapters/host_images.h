#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "adapters/adapter_version.h"
#include "adapters/image_layout.h"
#include "base/gate.h"
#include "tensor/buffer.h"

namespace slora {

// The images of one adapter on all shards in host memory, byte by byte as in the pages of the pools. Written by one thread, and constant
// once it is in a tier. Its bytes count there until it is destroyed. Must not outlive the counter of its tier.
class HostImage {
 public:
  using Allocate = std::function<Buffer(std::size_t)>;

  // Requires: `bytes` were added to `counter`.
  HostImage(std::atomic<std::uint64_t>& counter, std::uint64_t bytes, std::span<const ImageLayout> layouts, const Allocate& allocate);
  ~HostImage() { counter_.fetch_sub(bytes_); }
  HostImage(const HostImage&) = delete;
  HostImage& operator=(const HostImage&) = delete;

  // What such an image takes of the host's memory.
  [[nodiscard]] static std::uint64_t bytes_of(std::span<const ImageLayout> layouts);

  [[nodiscard]] const std::vector<ImageLayout>& layouts() const { return layouts_; }
  // Of every shard, as many as its layout has.
  [[nodiscard]] std::vector<ImagePages> pages() const { return {addresses_.begin(), addresses_.end()}; }
  // Copies all pages through `gate`; false once that is closed. Requires: of every shard as many pages as its layout has, or more.
  [[nodiscard]] bool try_copy_to(std::span<const ImagePages> pages, Gate& gate) const;

 private:
  std::atomic<std::uint64_t>& counter_;
  const std::uint64_t bytes_;
  const std::vector<ImageLayout> layouts_;          // [shards]
  Buffer memory_;                                   // the pages of all shards
  std::vector<std::vector<std::byte*>> addresses_;  // [shards, page_count of the shard]
};

// The tier between disk and pools: adapters whose images are ready to be copied into pages, without reading, converting and checking files
// again. Each version of an adapter has an image of its own, and a retired one has none. Bounded by bytes: of those that no load is
// copying, the one that was used longest ago gives way. Any thread.
class HostImages {
 public:
  struct Counts {
    std::uint64_t hits = 0, misses = 0, evictions = 0;
    std::uint64_t bytes = 0;  // in use, by images that are being written or copied as well
    std::size_t images = 0;
  };

  using Allocate = HostImage::Allocate;

  // 0 bytes: it is off, and holds nothing. `allocate` may be empty: then images are in the system's memory.
  explicit HostImages(std::uint64_t bytes_max, Allocate allocate = {});

  // The version's image, or null; counts as a hit or a miss unless the tier is off.
  [[nodiscard]] std::shared_ptr<const HostImage> find(AdapterId version);
  // The same for who only wants it to stay: not counted.
  [[nodiscard]] std::shared_ptr<const HostImage> keep(AdapterId version) const;
  // An image to be written; null when the tier is off or it has no space left.
  [[nodiscard]] std::shared_ptr<HostImage> try_make(std::span<const ImageLayout> layouts);
  // The same whatever the bound; for one that is copied at once and not put into the tier, of which there are as many as loads at a time.
  [[nodiscard]] std::shared_ptr<HostImage> make_unbounded(std::span<const ImageLayout> layouts);
  // The image is complete. Does nothing for a retired version.
  void put(const AdapterVersion& version, std::shared_ptr<const HostImage> image);
  // The version has been retired.
  void forget(AdapterId version);

  [[nodiscard]] Counts counts() const;

 private:
  struct Entry {
    AdapterId version;
    std::shared_ptr<const HostImage> image;
    [[nodiscard]] bool is_in_use() const { return image.use_count() > 1; }
    [[nodiscard]] std::uint64_t bytes() const { return HostImage::bytes_of(image->layouts()); }
  };
  using Entries = std::list<Entry>;

  [[nodiscard]] bool evict_for(std::uint64_t bytes);
  [[nodiscard]] std::shared_ptr<HostImage> make_counted(std::uint64_t bytes, std::span<const ImageLayout> layouts);

  const std::uint64_t bytes_max_;
  const Allocate allocate_;
  std::atomic<std::uint64_t> bytes_{0};  // grows under mutex_ only
  mutable std::mutex mutex_;
  Entries entries_;                                              // guarded by mutex_; used longest ago first
  std::unordered_map<AdapterId, Entries::iterator> by_version_;  // guarded by mutex_
  Counts counts_;                                                // guarded by mutex_
};

}  // namespace slora
