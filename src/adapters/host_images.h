#pragma once
#include <atomic>
#include <condition_variable>
#include <cstddef>
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
#include "base/result.h"
#include "tensor/buffer.h"

namespace slora {

// The images of one adapter on all shards in host memory, byte by byte as in the pages of the pools. Written by one thread, and constant
// once it is in a tier.
class HostImage {
 public:
  // `pages`: of all shards, one after the other. `memory`: what they lie in, `bytes` of it; its end gives them back.
  HostImage(std::span<const ImageLayout> layouts, std::span<std::byte* const> pages, std::uint64_t bytes, std::shared_ptr<void> memory);

  // What such an image takes of the system's memory.
  [[nodiscard]] static std::uint64_t bytes_of(std::span<const ImageLayout> layouts);

  [[nodiscard]] const std::vector<ImageLayout>& layouts() const { return layouts_; }
  // Of every shard, as many as its layout has.
  [[nodiscard]] std::vector<ImagePages> pages() const { return {addresses_.begin(), addresses_.end()}; }
  // The pages of a shard that are copied: all, or those before the shared ones.
  [[nodiscard]] ImagePages pages_of(std::size_t shard, SharedPart shared) const {
    const ImageLayout& layout = layouts_[shard];
    return ImagePages(addresses_[shard]).first(shared == SharedPart::write ? layout.page_count : layout.own_page_count());
  }
  // Copies these pages through `gate`; false once that is closed. Requires: of every shard as many pages as its layout has, or more.
  [[nodiscard]] bool try_copy_to(std::span<const ImagePages> pages, Gate& gate, SharedPart shared = SharedPart::write) const;
  [[nodiscard]] bool has_shared_pages() const;
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  friend class HostImages;
  std::vector<ImageLayout> layouts_;                // [shards]
  std::vector<std::vector<std::byte*>> addresses_;  // [shards, page_count of the shard]
  std::uint64_t bytes_;
  std::shared_ptr<void> memory_;  // shared with nobody: of any kind. Taken by HostImages if the load that writes it hangs
};

// Memory from which a device copies quickly. It is expensive: taking and giving it back stalls the device, and the system has little of it.
struct HostArea {
  using Allocate = std::function<Buffer(std::size_t)>;

  Allocate allocate;           // may throw
  std::uint64_t bytes = 0;     // rounded up to whole pages
  std::size_t page_bytes = 0;  // of images
};

// Images in host memory. Any thread.
//
// They are the tier between disk and pools: adapters that are ready to be copied into pages, without reading, converting and checking files
// again. Each version of an adapter has an image of its own, and a retired one has none. Bounded by bytes: of those that no load is
// copying, the one that was used longest ago gives way. Loads that find shared pages written make images without these, so that the tier
// has what many adapters share in few images.
//
// Where pages are a device's, all loads write into an image first, whether it stays in the tier or not. These images share one area, taken
// at the start. A load for which there is no space waits for its turn: those before it end, or are given up, and then the area has their
// pages back at once. An image that is larger than the area has memory of its own; there is one such at a time, and no load waits for it
// but others as large. A load must not wait while its thread, or a load that is queued, holds an image of the area.
class HostImages {
 public:
  struct Counts {
    std::uint64_t hits = 0, misses = 0, evictions = 0;
    std::uint64_t bytes = 0;  // in use, by images that are being written or copied as well
    std::size_t images = 0;   // in the tier
    std::size_t waiting = 0;  // loads, for space in the area
  };
  enum class Keep : std::uint8_t { none, used_last };

  // A tier of so many bytes in the system's memory, for pages that the host writes itself. 0 bytes: it is off, and holds nothing.
  explicit HostImages(std::uint64_t bytes_max);
  // In this area.
  HostImages(HostArea area, Keep keep);
  // Requires: no image of its is left.
  ~HostImages();
  HostImages(const HostImages&) = delete;
  HostImages& operator=(const HostImages&) = delete;

  // The version's image, or null; with SharedPart::write, only one that has the shared pages. Counts as a hit or a miss unless the tier is
  // off.
  [[nodiscard]] std::shared_ptr<const HostImage> find(AdapterId version, SharedPart shared = SharedPart::leave);
  // The same for who only wants it to stay: not counted.
  [[nodiscard]] std::shared_ptr<const HostImage> keep(AdapterId version, SharedPart shared = SharedPart::leave) const;
  // An image to be written; null when the tier is off or it has no space left. Requires: no area.
  [[nodiscard]] std::shared_ptr<HostImage> try_make(std::span<const ImageLayout> layouts);
  // An image to be written, through `gate` only, and copied from. Waits until there is space for it. E_READ when `gate` is closed before,
  // or there is no memory for an image that is larger than the area. Requires: an area; `gate` lives as long as the image, unless put() was
  // called; the thread has no other such image.
  [[nodiscard]] Result<std::shared_ptr<HostImage>> make_in_area(std::span<const ImageLayout> layouts, Gate& gate);
  // The image is complete, and stays in the tier if that has space for it, instead of one without the shared pages that it has. Does
  // nothing for a retired version.
  void put(const AdapterVersion& version, std::shared_ptr<const HostImage> image);
  // The version has been retired.
  void forget(AdapterId version);

  [[nodiscard]] bool has_area() const { return area_.allocate != nullptr; }
  [[nodiscard]] Counts counts() const;

 private:
  struct Entry {
    AdapterId version;
    std::shared_ptr<const HostImage> image;
    [[nodiscard]] bool is_in_use() const { return image.use_count() > 1; }
  };
  using Entries = std::list<Entry>;
  // An image that is not complete.
  struct Written {
    HostImage* image;
    const Gate* gate;
  };
  // Requires: mutex_ is held.
  [[nodiscard]] Entries::const_iterator find_entry(AdapterId version, SharedPart shared) const;
  struct AreaPages;
  struct OwnMemory;
  struct AreaImage;
  class Turn;

  // Require: mutex_ is held. Entries and memory that they return must end without it.
  // Takes out entries so that so many bytes fit next to what is in use; none if that is not possible.
  [[nodiscard]] Entries take_out_for(std::uint64_t bytes);
  // The memory of images whose loads were given up.
  [[nodiscard]] std::vector<std::shared_ptr<void>> take_from_given_up();
  [[nodiscard]] bool has_space_for(std::uint64_t bytes) const { return bytes > bytes_max_ ? !has_large_ : bytes_ + bytes <= bytes_max_; }

  // Calls `take` with mutex_ held when there is space for so many bytes; false once the gate is closed.
  [[nodiscard]] bool wait_for_space(std::uint64_t bytes, Gate& gate, const std::function<void()>& take);
  [[nodiscard]] std::shared_ptr<HostImage> make_of_pages(std::span<const ImageLayout> layouts, std::uint64_t bytes, Gate& gate);
  [[nodiscard]] std::shared_ptr<HostImage> make_large(std::span<const ImageLayout> layouts, std::uint64_t bytes, Gate& gate);
  [[nodiscard]] std::shared_ptr<HostImage> make_written(std::span<const ImageLayout> layouts, std::span<std::byte* const> pages,
                                                        std::shared_ptr<void> memory, const Gate& gate);

  const HostArea area_;
  const bool is_tier_;
  const std::uint64_t bytes_max_;
  const Buffer area_memory_;
  std::atomic<std::uint64_t> bytes_{0};  // of the tier and the area; grows under mutex_ only
  mutable std::mutex mutex_;
  std::condition_variable space_;  // there is more of it, or it is another's turn
  Entries entries_;                // guarded by mutex_, as what follows; used longest ago first
  std::unordered_map<AdapterId, Entries::iterator> by_version_;
  Counts counts_;
  std::vector<std::byte*> free_pages_;  // of the area
  std::list<const Turn*> turns_;        // loads that wait for space in the area, in their order
  std::list<const Turn*> large_turns_;  // those that wait for the end of another image that is larger
  std::vector<Written> written_;
  bool has_large_ = false;  // an image with memory of its own
  std::uint64_t large_bytes_ = 0;
};

}  // namespace slora
