#include "base/memory_reserve.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <new>

#include "base/check.h"

namespace slora {
namespace {

constexpr std::size_t kBlockCount = 64;
// Large enough together for the largest of those allocations: the list in which a JSON tree of 4 MiB of text is taken apart.
constexpr std::size_t kBlockBytes = std::size_t{2} << 20;

// Global, because the handler has no argument. Null: given back.
std::array<std::atomic<void*>, kBlockCount> blocks{};
std::atomic<bool> exists{false};
std::atomic<std::uint64_t> failures{0};

void give_back_or_throw() {
  ++failures;
  for (std::atomic<void*>& block : blocks) {
    if (void* const memory = block.exchange(nullptr)) {
      munmap(memory, kBlockBytes);
      return;
    }
  }
  throw std::bad_alloc();
}

bool try_take(std::atomic<void*>& block) {
  if (block.load() != nullptr) return true;
  void* const memory = mmap(nullptr, kBlockBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  void* expected = nullptr;
  if (!block.compare_exchange_strong(expected, memory)) munmap(memory, kBlockBytes);
  return true;
}

}  // namespace

MemoryReserve::MemoryReserve() {
  check(!exists.exchange(true), "expected one MemoryReserve at a time");
  (void)try_refill();  // later, if the system has too little now
  std::set_new_handler(give_back_or_throw);
}

MemoryReserve::~MemoryReserve() {
  std::set_new_handler(nullptr);
  for (std::atomic<void*>& block : blocks) {
    if (void* const memory = block.exchange(nullptr)) munmap(memory, kBlockBytes);
  }
  exists = false;
}

std::uint64_t MemoryReserve::failure_count() const { return failures.load(); }

bool MemoryReserve::try_refill() { return std::ranges::all_of(blocks, try_take); }

}  // namespace slora
