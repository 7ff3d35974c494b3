#pragma once
#include <cstdint>

namespace slora {

// Address space that is kept for the moment when the system gives this process no more memory. Libraries allocate where they can't report a
// failure, in destructors and noexcept functions, and the process would end there. While this object exists, an allocation that fails gives
// one block of the reserve back to the system and is tried again; it fails when no block is left. Takes no physical memory. There is one at
// a time, because a process has one std::new_handler. Any thread.
class MemoryReserve {
 public:
  MemoryReserve();
  ~MemoryReserve();
  MemoryReserve(const MemoryReserve&) = delete;
  MemoryReserve& operator=(const MemoryReserve&) = delete;

  // Takes the blocks again that were given back; false while the system has too little for all of them. That may last: an allocator seldom
  // returns address space.
  [[nodiscard]] bool try_refill();
  // How often an allocation failed since the process began.
  [[nodiscard]] std::uint64_t failure_count() const;
};

}  // namespace slora
