#include "tensor/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace slora {
namespace {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;
constexpr std::size_t kMappingBytes = std::size_t{256} << 20;  // of one mapping of an arena; touching it piece by piece commits the memory
constexpr std::size_t kAlignment = 4096;                       // of its pieces

std::size_t rounded_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

// Anonymous mappings are zeroed and get physical memory at the first access. The mapping is made one huge page too long and trimmed, so
// that its start is aligned.
Buffer::Buffer(std::size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const bool huge = bytes >= kHugePageBytes;
  const std::size_t kept = rounded_up(bytes, huge ? kHugePageBytes : 4096);
  const std::size_t mapped = huge ? kept + kHugePageBytes : kept;
  void* raw = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  auto* start = static_cast<std::byte*>(raw);
  if (huge) {
    const auto address = reinterpret_cast<std::uintptr_t>(raw);
    const std::size_t lead = rounded_up(address, kHugePageBytes) - address;
    if (lead != 0) munmap(start, lead);
    if (mapped - lead != kept) munmap(start + lead + kept, mapped - lead - kept);
    start += lead;
    madvise(start, kept, MADV_HUGEPAGE);  // a hint only: without huge pages everything still works
  }
  data_ = std::shared_ptr<std::byte>(start, [kept](std::byte* data) { munmap(data, kept); });
}

Buffer BufferArena::take(std::size_t bytes) {
  if (bytes == 0) return {};
  const std::size_t begin = rounded_up(used_, kAlignment);
  if (begin > mapping_.bytes() || bytes > mapping_.bytes() - begin) {
    mapping_ = Buffer(std::max(bytes, kMappingBytes));
    used_ = bytes;
    return {mapping_.data_, bytes};
  }
  used_ = begin + bytes;
  return {std::shared_ptr<std::byte>(mapping_.data_, mapping_.data() + begin), bytes};
}

}  // namespace slora
