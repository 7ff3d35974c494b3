#include "adapters/host_images.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"

namespace slora {
namespace {

std::size_t image_bytes_of(std::span<const ImageLayout> layouts) {
  std::size_t bytes = 0;
  for (const ImageLayout& layout : layouts) bytes += layout.page_count * layout.page_bytes;
  return bytes;
}

}  // namespace

HostImage::HostImage(std::atomic<std::uint64_t>& counter, std::uint64_t bytes, std::span<const ImageLayout> layouts,
                     const Allocate& allocate)
    : counter_(counter), bytes_(bytes), layouts_(layouts.begin(), layouts.end()), memory_(allocate(image_bytes_of(layouts))) {
  std::byte* page = memory_.data();
  for (const ImageLayout& layout : layouts_) {
    std::vector<std::byte*>& addresses = addresses_.emplace_back();
    for (std::uint32_t i = 0; i < layout.page_count; ++i, page += layout.page_bytes) addresses.push_back(page);
  }
}

std::uint64_t HostImage::bytes_of(std::span<const ImageLayout> layouts) {
  constexpr std::uint64_t kSystemPageBytes = 4096, kHugePageBytes = std::uint64_t{2} << 20;  // as Buffer rounds
  const std::uint64_t image = image_bytes_of(layouts);
  const std::uint64_t unit = image >= kHugePageBytes ? kHugePageBytes : kSystemPageBytes;
  std::uint64_t bytes = (image + unit - 1) / unit * unit + sizeof(HostImage);
  for (const ImageLayout& layout : layouts) {
    bytes += sizeof(ImageLayout) + layout.tiles.size() * sizeof(ImageTile) + layout.page_count * sizeof(std::byte*);
    for (const AdapterRecord& record : layout.records) bytes += sizeof(AdapterRecord) + record.parts.size() * sizeof(AdapterPart);
  }
  return bytes;
}

bool HostImage::try_copy_to(std::span<const ImagePages> pages, Gate& gate) const {
  check(pages.size() == layouts_.size(), "expected pages of every shard");
  for (std::size_t shard = 0; shard < pages.size(); ++shard) {
    check(pages[shard].size() >= addresses_[shard].size(), "expected as many pages as the image has");
    for (std::size_t i = 0; i < addresses_[shard].size(); ++i) {
      if (!gate.pass([&] { std::memcpy(pages[shard][i], addresses_[shard][i], layouts_[shard].page_bytes); })) return false;
    }
  }
  return true;
}

HostImages::HostImages(std::uint64_t bytes_max, Allocate allocate)
    : bytes_max_(bytes_max), allocate_(allocate ? std::move(allocate) : [](std::size_t bytes) { return Buffer(bytes); }) {}

std::shared_ptr<const HostImage> HostImages::find(AdapterId version) {
  if (bytes_max_ == 0) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto at = by_version_.find(version);
  ++(at == by_version_.end() ? counts_.misses : counts_.hits);
  if (at == by_version_.end()) return nullptr;
  entries_.splice(entries_.end(), entries_, at->second);
  return at->second->image;
}

std::shared_ptr<const HostImage> HostImages::keep(AdapterId version) const {
  if (bytes_max_ == 0) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto at = by_version_.find(version);
  return at == by_version_.end() ? nullptr : at->second->image;
}

std::shared_ptr<HostImage> HostImages::try_make(std::span<const ImageLayout> layouts) {
  const std::uint64_t bytes = HostImage::bytes_of(layouts);
  constexpr int attempts_max = 3;  // others may take the space meanwhile
  bool has_space = false;
  for (int i = 0; i < attempts_max && !has_space && evict_for(bytes); ++i) {
    const std::lock_guard lock(mutex_);
    has_space = bytes_ + bytes <= bytes_max_;
    if (has_space) bytes_ += bytes;
  }
  if (!has_space) return nullptr;
  try {
    return make_counted(bytes, layouts);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

// Makes space for an image of so many bytes; false if there is none.
bool HostImages::evict_for(std::uint64_t bytes) {
  if (bytes > bytes_max_) return false;
  Entries evicted;  // freed without the lock: that of a device's memory may wait for the device
  const std::lock_guard lock(mutex_);
  std::uint64_t evictable = 0, freed = 0;
  for (const Entry& entry : entries_) evictable += entry.is_in_use() ? 0 : entry.bytes();
  if (bytes_ + bytes > bytes_max_ + evictable) return false;
  for (auto at = entries_.begin(); at != entries_.end() && bytes_ + bytes > bytes_max_ + freed;) {
    const auto victim = at++;
    if (victim->is_in_use()) continue;
    freed += victim->bytes();
    by_version_.erase(victim->version);
    evicted.splice(evicted.end(), entries_, victim);
    ++counts_.evictions;
  }
  return true;
}

// Requires: `bytes` were added.
std::shared_ptr<HostImage> HostImages::make_counted(std::uint64_t bytes, std::span<const ImageLayout> layouts) {
  try {
    return std::make_shared<HostImage>(bytes_, bytes, layouts, allocate_);
  } catch (...) {
    bytes_ -= bytes;
    throw;
  }
}

std::shared_ptr<HostImage> HostImages::make_unbounded(std::span<const ImageLayout> layouts) {
  const std::uint64_t bytes = HostImage::bytes_of(layouts);
  {
    const std::lock_guard lock(mutex_);
    bytes_ += bytes;
  }
  return make_counted(bytes, layouts);
}

void HostImages::put(const AdapterVersion& version, std::shared_ptr<const HostImage> image) {
  const std::lock_guard lock(mutex_);
  if (version.is_retired() || by_version_.contains(version.id())) return;  // retired later: forget() comes after this
  entries_.push_back({version.id(), std::move(image)});
  by_version_.emplace(version.id(), std::prev(entries_.end()));
}

void HostImages::forget(AdapterId version) {
  if (bytes_max_ == 0) return;
  Entries forgotten;  // freed without the lock
  const std::lock_guard lock(mutex_);
  const auto at = by_version_.find(version);
  if (at == by_version_.end()) return;
  forgotten.splice(forgotten.end(), entries_, at->second);
  by_version_.erase(at);
}

HostImages::Counts HostImages::counts() const {
  const std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.bytes = bytes_;
  counts.images = entries_.size();
  return counts;
}

}  // namespace slora
