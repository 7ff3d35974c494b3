#include "adapters/host_images.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <new>
#include <utility>

#include "base/check.h"

namespace slora {
namespace {

// Nobody tells a load that waits that another was given up, or has copied an image of the tier.
constexpr std::chrono::milliseconds kLookAgain{5};

std::size_t image_bytes_of(std::span<const ImageLayout> layouts) {
  std::size_t bytes = 0;
  for (const ImageLayout& layout : layouts) bytes += layout.page_count * layout.page_bytes;
  return bytes;
}

// Where the pages of all shards lie, one after the other.
std::vector<std::byte*> pages_in(std::byte* memory, std::span<const ImageLayout> layouts) {
  std::vector<std::byte*> pages;
  for (const ImageLayout& layout : layouts) {
    for (std::uint32_t i = 0; i < layout.page_count; ++i, memory += layout.page_bytes) pages.push_back(memory);
  }
  return pages;
}

// Memory of the system, which counts until it ends.
struct SystemMemory {
  SystemMemory(std::atomic<std::uint64_t>& counts_in, std::uint64_t counted, std::size_t bytes)
      : counter(counts_in), counted_bytes(counted), memory(bytes) {}
  ~SystemMemory() { counter.fetch_sub(counted_bytes); }
  SystemMemory(const SystemMemory&) = delete;
  SystemMemory& operator=(const SystemMemory&) = delete;

  std::atomic<std::uint64_t>& counter;
  const std::uint64_t counted_bytes;
  const Buffer memory;
};

}  // namespace

HostImage::HostImage(std::span<const ImageLayout> layouts, std::span<std::byte* const> pages, std::uint64_t bytes,
                     std::shared_ptr<void> memory)
    : layouts_(layouts.begin(), layouts.end()), bytes_(bytes), memory_(std::move(memory)) {
  for (const ImageLayout& layout : layouts_) {
    addresses_.emplace_back(pages.begin(), pages.begin() + layout.page_count);
    pages = pages.subspan(layout.page_count);
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

bool HostImage::has_shared_pages() const {
  return std::ranges::any_of(layouts_, [](const ImageLayout& layout) { return layout.shared_page_count > 0; });
}

bool HostImage::try_copy_to(std::span<const ImagePages> pages, Gate& gate, SharedPart shared) const {
  check(pages.size() == layouts_.size(), "expected pages of every shard");
  for (std::size_t shard = 0; shard < pages.size(); ++shard) {
    check(pages[shard].size() >= addresses_[shard].size(), "expected as many pages as the image has");
    const ImagePages from = pages_of(shard, shared);
    for (std::size_t i = 0; i < from.size(); ++i) {
      if (!gate.pass([&] { std::memcpy(pages[shard][i], from[i], layouts_[shard].page_bytes); })) return false;
    }
  }
  return true;
}

// Pages of the area, which are free again at its end. Requires: mutex_ is not held there.
struct HostImages::AreaPages {
  AreaPages(HostImages& of, std::size_t count) : owner(of) { pages.reserve(count); }
  ~AreaPages() {
    {
      const std::lock_guard lock(owner.mutex_);
      owner.free_pages_.insert(owner.free_pages_.end(), pages.begin(), pages.end());  // which has space for all
      owner.bytes_ -= pages.size() * owner.area_.page_bytes;
    }
    owner.space_.notify_all();
  }
  AreaPages(const AreaPages&) = delete;
  AreaPages& operator=(const AreaPages&) = delete;

  HostImages& owner;
  std::vector<std::byte*> pages;
};

// Of an image that is larger than the area. Requires: mutex_ is not held at its end.
struct HostImages::OwnMemory {
  explicit OwnMemory(HostImages& of) : owner(of) {}
  ~OwnMemory() {
    memory = Buffer();
    {
      const std::lock_guard lock(owner.mutex_);
      if (bytes > 0) owner.has_large_ = false;
      owner.large_bytes_ -= bytes;
    }
    owner.space_.notify_all();
  }
  OwnMemory(const OwnMemory&) = delete;
  OwnMemory& operator=(const OwnMemory&) = delete;

  HostImages& owner;
  std::uint64_t bytes = 0;  // that are counted
  Buffer memory;
};

// An image that is known while it is written. Requires: mutex_ is not held at its end.
struct HostImages::AreaImage {
  AreaImage(HostImages& of, HostImage made) : owner(of), image(std::move(made)) {}
  ~AreaImage() {
    const std::lock_guard lock(owner.mutex_);
    std::erase_if(owner.written_, [&](const Written& written) { return written.image == &image; });
  }
  AreaImage(const AreaImage&) = delete;
  AreaImage& operator=(const AreaImage&) = delete;

  HostImages& owner;
  HostImage image;
};

// A place among the loads that wait. Requires: mutex_ is held where it begins and where it ends.
class HostImages::Turn {
 public:
  explicit Turn(std::list<const Turn*>& all) : all_(all) { all_.push_back(this); }
  ~Turn() { std::erase(all_, this); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  [[nodiscard]] bool has_come() const { return all_.front() == this; }

 private:
  std::list<const Turn*>& all_;
};

HostImages::HostImages(std::uint64_t bytes_max) : is_tier_(bytes_max > 0), bytes_max_(bytes_max) {}

HostImages::HostImages(HostArea area, Keep keep)
    : area_(std::move(area)),
      is_tier_(keep == Keep::used_last),
      bytes_max_((area_.bytes + area_.page_bytes - 1) / area_.page_bytes * area_.page_bytes),
      area_memory_(area_.allocate(bytes_max_)) {
  for (std::size_t begin = 0; begin < bytes_max_; begin += area_.page_bytes) free_pages_.push_back(area_memory_.data() + begin);
}

HostImages::~HostImages() { entries_.clear(); }  // first: their memory goes back to what is destroyed before them

HostImages::Entries::const_iterator HostImages::find_entry(AdapterId version, SharedPart shared) const {
  const auto at = by_version_.find(version);
  const bool is_usable = at != by_version_.end() && (shared == SharedPart::leave || at->second->image->has_shared_pages());
  return is_usable ? Entries::const_iterator(at->second) : entries_.end();
}

std::shared_ptr<const HostImage> HostImages::find(AdapterId version, SharedPart shared) {
  if (!is_tier_) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto at = find_entry(version, shared);
  ++(at == entries_.end() ? counts_.misses : counts_.hits);
  if (at == entries_.end()) return nullptr;
  entries_.splice(entries_.end(), entries_, at);
  return at->image;
}

std::shared_ptr<const HostImage> HostImages::keep(AdapterId version, SharedPart shared) const {
  if (!is_tier_) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto at = find_entry(version, shared);
  return at == entries_.end() ? nullptr : at->image;
}

HostImages::Entries HostImages::take_out_for(std::uint64_t bytes) {
  Entries taken;
  std::uint64_t evictable = 0, freed = 0;
  for (const Entry& entry : entries_) evictable += entry.is_in_use() ? 0 : entry.image->bytes();
  if (bytes_ + bytes > bytes_max_ + evictable) return taken;
  for (auto at = entries_.begin(); at != entries_.end() && bytes_ + bytes > bytes_max_ + freed;) {
    const auto victim = at++;
    if (victim->is_in_use()) continue;
    freed += victim->image->bytes();
    by_version_.erase(victim->version);
    taken.splice(taken.end(), entries_, victim);
    ++counts_.evictions;
  }
  return taken;
}

std::shared_ptr<HostImage> HostImages::try_make(std::span<const ImageLayout> layouts) {
  check(!has_area(), "expected images in the system's memory");
  const std::uint64_t bytes = HostImage::bytes_of(layouts);
  constexpr int attempts_max = 3;  // others may take the space meanwhile
  bool has_space = false;
  for (int i = 0; i < attempts_max && !has_space && bytes <= bytes_max_; ++i) {
    Entries evicted;  // freed without the lock
    const std::lock_guard lock(mutex_);
    has_space = bytes_ + bytes <= bytes_max_;
    if (has_space) bytes_ += bytes;
    if (!has_space) evicted = take_out_for(bytes);
    if (!has_space && evicted.empty()) return nullptr;
  }
  if (!has_space) return nullptr;
  try {
    const auto memory = std::make_shared<SystemMemory>(bytes_, bytes, image_bytes_of(layouts));
    return std::make_shared<HostImage>(layouts, pages_in(memory->memory.data(), layouts), bytes, memory);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

Result<std::shared_ptr<HostImage>> HostImages::make_in_area(std::span<const ImageLayout> layouts, Gate& gate) {
  check(has_area(), "expected an area");
  const std::uint64_t bytes = image_bytes_of(layouts);
  std::shared_ptr<HostImage> image = bytes > bytes_max_ ? nullptr : make_of_pages(layouts, bytes, gate);
  try {
    if (bytes > bytes_max_) image = make_large(layouts, bytes, gate);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& refused) {
    return error("E_READ", "there is no memory for its image of {} bytes; {} are kept for images: {}", bytes, bytes_max_, refused.what());
  }
  if (image == nullptr) return error("E_READ", "waiting for space in the host's memory took too long");
  return image;
}

std::shared_ptr<HostImage> HostImages::make_of_pages(std::span<const ImageLayout> layouts, std::uint64_t bytes, Gate& gate) {
  const std::size_t count = bytes / area_.page_bytes;
  const auto memory = std::make_shared<AreaPages>(*this, count);
  const auto take = [&] {
    memory->pages.assign(free_pages_.end() - static_cast<std::ptrdiff_t>(count), free_pages_.end());
    free_pages_.resize(free_pages_.size() - count);
    bytes_ += bytes;
  };
  if (!wait_for_space(bytes, gate, take)) return nullptr;
  return make_written(layouts, memory->pages, memory, gate);
}

std::shared_ptr<HostImage> HostImages::make_large(std::span<const ImageLayout> layouts, std::uint64_t bytes, Gate& gate) {
  const auto memory = std::make_shared<OwnMemory>(*this);
  const auto take = [&] {
    has_large_ = true;
    large_bytes_ += bytes;
    memory->bytes = bytes;
  };
  if (!wait_for_space(bytes, gate, take)) return nullptr;
  memory->memory = area_.allocate(bytes);
  return make_written(layouts, pages_in(memory->memory.data(), layouts), memory, gate);
}

// It counts as going on: the loads that it waits for are watched.
bool HostImages::wait_for_space(std::uint64_t bytes, Gate& gate, const std::function<void()>& take) {
  bool has_space = false;
  gate.compute([&] {
    std::unique_lock lock(mutex_);
    const Turn turn(bytes > bytes_max_ ? large_turns_ : turns_);
    while (!gate.is_closed()) {
      has_space = turn.has_come() && has_space_for(bytes);
      if (has_space) return take();
      std::vector<std::shared_ptr<void>> given_back = take_from_given_up();
      Entries evicted = turn.has_come() && bytes <= bytes_max_ ? take_out_for(bytes) : Entries();
      if (given_back.empty() && evicted.empty()) {
        space_.wait_for(lock, kLookAgain);
        continue;
      }
      lock.unlock();
      given_back.clear();
      evicted.clear();
      lock.lock();
    }
  });
  space_.notify_all();  // it is another's turn
  return has_space;
}

std::shared_ptr<HostImage> HostImages::make_written(std::span<const ImageLayout> layouts, std::span<std::byte* const> pages,
                                                    std::shared_ptr<void> memory, const Gate& gate) {
  const auto made = std::make_shared<AreaImage>(*this, HostImage(layouts, pages, image_bytes_of(layouts), std::move(memory)));
  const std::lock_guard lock(mutex_);
  written_.push_back({&made->image, &gate});
  return {made, &made->image};
}

std::vector<std::shared_ptr<void>> HostImages::take_from_given_up() {
  std::vector<std::shared_ptr<void>> taken;
  taken.reserve(written_.size());  // so that nothing fails below
  std::erase_if(written_, [&](const Written& written) {
    if (!written.gate->is_closed()) return false;
    taken.push_back(std::move(written.image->memory_));
    return true;
  });
  return taken;
}

void HostImages::put(const AdapterVersion& version, std::shared_ptr<const HostImage> image) {
  Entries replaced;  // freed without the lock
  const std::lock_guard lock(mutex_);
  const bool has_memory = std::erase_if(written_, [&](const Written& written) { return written.image == image.get(); }) > 0;
  if (!is_tier_ || image->bytes() > bytes_max_ || (has_area() && !has_memory)) return;
  if (version.is_retired()) return;  // retired later: forget() comes after this
  if (const auto known = by_version_.find(version.id()); known != by_version_.end()) {
    if (known->second->image->has_shared_pages() || !image->has_shared_pages()) return;
    replaced.splice(replaced.end(), entries_, known->second);
    by_version_.erase(known);
  }
  entries_.push_back({version.id(), std::move(image)});
  by_version_.emplace(version.id(), std::prev(entries_.end()));
}

void HostImages::forget(AdapterId version) {
  if (!is_tier_) return;
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
  counts.bytes = bytes_ + large_bytes_;
  counts.images = entries_.size();
  counts.waiting = turns_.size() + large_turns_.size();
  return counts;
}

}  // namespace slora
