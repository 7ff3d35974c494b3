#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>

#include "kernels/cuda/emulator/device_memory.h"
#include "kernels/cuda/emulator/grid_run.h"
#include "kernels/cuda/emulator/shadow.h"

namespace slora::emulator {

enum class AccessKind : std::uint8_t { read, write, atomic };

struct WatchCounts {
  std::uint64_t accesses = 0;               // to shared and global memory
  std::uint64_t shared_bank_conflicts = 0;  // repetitions that plain accesses need
  std::uint64_t matrix_bank_conflicts = 0;  // and load_matrices
};

// Checks every access of kernels that were compiled with -fsanitize=thread: that option makes the compiler call a function before each
// access that another thread might see, and watch_hooks.cc defines these functions (the sanitizer's own library is not linked).
// Order is what barriers give: each thread has a clock, and a barrier makes those who met know one another's. Between blocks it is what
// fences and atomic operations give. Shuffles and products order nothing. Owned by a device, used by the thread that launches.
class Watch {
 public:
  explicit Watch(DeviceMemory& memory) : memory_(memory) {}

  void host_wrote(const void* address, std::size_t bytes);
  void begin_launch();
  void admit(Block& block, const GridShape& shape);
  void retire(Block& block);

  // A thread is about to access these bytes. `instruction` tells one access in the code from another, if it is known.
  void access(Thread& thread, const void* address, std::size_t bytes, AccessKind kind, const void* instruction = nullptr);
  void join(std::span<Thread* const> threads_that_met);
  void fence(Thread& thread);
  // The thread changes this word by an atomic operation.
  void meet_blocks(Thread& thread, const void* address);
  void warp_operation(Block& block, std::int32_t warp, const std::array<WarpCall*, kWarpThreads>& calls);
  void begin_copy(Thread& thread, const std::byte* to, std::size_t bytes);
  void end_copy(Thread& thread, const std::byte* to, std::size_t bytes);

  [[nodiscard]] const WatchCounts& counts() const { return counts_; }

 private:
  enum class Kind : std::uint8_t { shared, global, of_the_thread };
  Kind require_allowed(const Thread& thread, const void* address, std::size_t bytes, AccessKind kind) const;
  void touch(std::size_t count, Thread& thread, const std::byte* address, Kind memory, AccessKind kind);
  Cell& cell(Thread& thread, const std::byte* address, Kind memory);
  void renew(Cell& cell) const;
  [[nodiscard]] Access access_of(Thread& thread, AccessKind kind) const;
  [[nodiscard]] std::string describe(const Thread& thread, const std::byte* address, Kind memory) const;
  void count_shared(Thread& thread, const std::byte* address, std::size_t bytes, const void* instruction) const;

  DeviceMemory& memory_;
  Shadow shadow_;  // of global memory
  std::uint32_t launch_ = 0;
  std::unordered_map<const void*, KnownBlocks> left_;  // by atomic operations of this launch, at their addresses
  WatchCounts counts_;
};

}  // namespace slora::emulator
