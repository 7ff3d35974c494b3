#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/cuda/emulator/fiber.h"
#include "kernels/cuda/emulator/shadow.h"
#include "kernels/cuda/emulator/shared_memory.h"
#include "kernels/cuda/emulator/warp_operation.h"

namespace slora::emulator {

// A copy from global to shared memory that its thread has issued and that has not landed.
struct AsyncCopy {
  std::byte* to;
  const std::byte* from;
  std::int32_t bytes;
  std::int32_t valid_bytes;  // the rest becomes zero
  std::int32_t group = 0;    // which commit_copies() it belongs to
  bool has_landed = false;   // but is not waited for
};

struct Block;
struct Warp;

struct Thread {
  std::int32_t index = 0;  // in its block
  Block* block = nullptr;
  std::unique_ptr<Fiber> fiber;
  Place place;               // the last operation that it was at
  WarpCall* call = nullptr;  // the operation of its warp in which it waits, or null at the block's barrier
  bool has_ended = false;
  std::vector<AsyncCopy> copies;  // in flight, oldest first
  std::int32_t group = 0;         // how often it has committed its copies

  [[nodiscard]] Warp& warp() const;
};
// What it waits for: "mma", "block_barrier".
[[nodiscard]] std::string_view operation_of(const Thread& thread);

struct Warp {
  std::array<WarpCall*, kWarpThreads> calls{};
  std::int32_t arrived = 0;
  const Thread* waiting = nullptr;  // one that waits for the others
  const Thread* ended = nullptr;    // one that has ended
};

// A block on the emulated device.
struct Block {
  std::int32_t index = 0;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<Thread*> waiting;  // at its barrier
  std::int32_t ended = 0;        // threads
  SharedMemory memory;
  std::byte* shared = nullptr;  // of `memory`
  WatchedBlock watched;         // of a kernel that is watched
};

inline Warp& Thread::warp() const { return block->warps[static_cast<std::size_t>(index / kWarpThreads)]; }

}  // namespace slora::emulator
