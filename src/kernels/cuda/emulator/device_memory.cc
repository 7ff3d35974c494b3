#include "kernels/cuda/emulator/device_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/check.h"

namespace slora::emulator {
namespace {

constexpr std::size_t kRangeBytes = std::size_t{1} << 40;  // addresses, not memory
constexpr std::size_t kGapBytesMin = 64 << 10;             // a multiple of every system's page
constexpr std::size_t kAlignment = 256;                    // what cudaMalloc promises
constexpr std::byte kPattern{0xa5};

std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

#ifdef __x86_64__
// Of all hidden memory: each thread has rights of its own, none at first. -1 where the processor or the system has no such keys.
int hidden_key() {
  static const int key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
  return key;
}
int take_rights(int rights) {
  if (hidden_key() == -1) return 0;
  const int before = pkey_get(hidden_key());
  check(pkey_set(hidden_key(), static_cast<unsigned>(rights)) == 0, "expected to change the rights of a key");
  return before;
}
int protect(std::byte* pages, std::size_t bytes, bool is_hidden) {
  // -1: as mprotect(). Key 0, which fresh pages have, is refused where there are no keys.
  return pkey_mprotect(pages, bytes, PROT_READ | PROT_WRITE, is_hidden ? hidden_key() : -1);
}
#else
int take_rights(int) { return 0; }
int protect(std::byte* pages, std::size_t bytes, bool) { return mprotect(pages, bytes, PROT_READ | PROT_WRITE); }
#endif

bool is_pattern(const std::byte* begin, const std::byte* end) {
  return std::all_of(begin, end, [](std::byte value) { return value == kPattern; });
}

}  // namespace

DeviceAccess::DeviceAccess() : rights_before_(take_rights(0)) {}
DeviceAccess::~DeviceAccess() { take_rights(rights_before_); }

DeviceMemory::DeviceMemory(std::size_t gap_bytes, Hidden hidden)
    : hidden_(hidden), gap_bytes_(std::max(round_up(gap_bytes, kGapBytesMin), kGapBytesMin)) {
  void* const range = mmap(nullptr, kRangeBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  check(range != MAP_FAILED, "expected a range of addresses for the emulated device's memory");
  range_ = static_cast<std::byte*>(range);
  next_ = range_;
}
DeviceMemory::~DeviceMemory() { munmap(range_, kRangeBytes); }

DeviceMemory::Allocation& DeviceMemory::take(std::size_t bytes) {
  const std::size_t aligned = round_up(std::max<std::size_t>(bytes, 1), kAlignment);
  const std::size_t mapped = round_up(aligned, page_bytes());
  check(mapped + gap_bytes_ < static_cast<std::size_t>(range_ + kRangeBytes - next_),
        "expected the allocations to fit the range of addresses");
  std::byte* const pages = next_ + gap_bytes_;
  check(protect(pages, mapped, hidden_ == Hidden::yes) == 0, "expected memory for an allocation of the emulated device");
  next_ = pages + mapped;
  Allocation& allocation = allocations_.emplace_back(Allocation{pages + mapped - aligned, bytes, true, pages, pages + mapped});
  std::memset(allocation.pages_begin, static_cast<int>(kPattern), static_cast<std::size_t>(allocation.begin - allocation.pages_begin));
  std::memset(allocation.begin + bytes, static_cast<int>(kPattern), aligned - bytes);
  return allocation;
}

std::byte* DeviceMemory::allocate(std::size_t bytes) {
  const DeviceAccess access;
  const Allocation& allocation = take(bytes);
  std::memset(allocation.begin, 0xff, bytes);
  return allocation.begin;
}
std::byte* DeviceMemory::allocate_sparse(std::size_t bytes) {
  const DeviceAccess access;
  return take(bytes).begin;
}

void DeviceMemory::free(void* begin) {
  const Allocation* const found = find(begin);
  check(found != nullptr && found->begin == begin && found->is_live, "expected a live allocation of the emulated device");
  Allocation& allocation = allocations_[static_cast<std::size_t>(found - allocations_.data())];
  allocation.is_live = false;
  const auto bytes = static_cast<std::size_t>(allocation.pages_end - allocation.pages_begin);
  check(madvise(allocation.pages_begin, bytes, MADV_DONTNEED) == 0, "expected to drop freed memory");
  check(mprotect(allocation.pages_begin, bytes, PROT_NONE) == 0, "expected to protect freed memory");
}

const DeviceMemory::Allocation* DeviceMemory::find(const void* address) const {
  const auto after = std::upper_bound(allocations_.begin(), allocations_.end(), static_cast<const std::byte*>(address),
                                      [](const std::byte* at, const Allocation& allocation) { return at < allocation.begin; });
  return after == allocations_.begin() ? nullptr : &*std::prev(after);
}

bool DeviceMemory::holds(const void* address, std::size_t bytes) const {
  const Allocation* const allocation = find(address);
  if (allocation == nullptr || !allocation->is_live) return false;
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(address) - allocation->begin);
  return offset <= allocation->bytes && bytes <= allocation->bytes - offset;
}

bool DeviceMemory::is_device_address(const void* address) const {
  const auto* const at = static_cast<const std::byte*>(address);
  return at >= range_ && at < range_ + kRangeBytes;
}

const DeviceMemory::Allocation* DeviceMemory::find_overwritten() {
  const DeviceAccess access;
  for (const Allocation& allocation : allocations_) {
    if (!allocation.is_live) continue;
    std::byte* const end = allocation.begin + allocation.bytes;
    if (is_pattern(allocation.pages_begin, allocation.begin) && is_pattern(end, allocation.pages_end)) continue;
    std::memset(allocation.pages_begin, static_cast<int>(kPattern), static_cast<std::size_t>(allocation.begin - allocation.pages_begin));
    std::memset(end, static_cast<int>(kPattern), static_cast<std::size_t>(allocation.pages_end - end));
    return &allocation;
  }
  return nullptr;
}

}  // namespace slora::emulator
