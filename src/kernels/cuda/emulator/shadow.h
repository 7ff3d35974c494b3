#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "kernels/cuda/emulator/fault.h"

namespace slora::emulator {

// One access: by whom, and when on that thread's clock.
struct Access {
  std::int32_t block = -1;  // -1: none
  std::int32_t thread = 0;
  std::uint32_t clock = 0;
  bool is_atomic = false;
  Place place;
};

// What is known of two bytes of shared or global memory.
struct Cell {
  static constexpr std::size_t kBytes = 2;
  static constexpr std::size_t kReadersKept = 3;

  std::uint32_t launch = 0;  // of the accesses below
  bool is_initialised = false;
  bool is_in_flight = false;  // an asynchronous copy writes it
  std::uint8_t reader_count = 0;
  Access writer;                             // the last
  std::array<Access, kReadersKept> readers;  // since then, of different threads
};

// The cells of global memory, made where memory is used.
class Shadow {
 public:
  Cell& cell(const void* address) {
    const auto number = reinterpret_cast<std::uintptr_t>(address) / Cell::kBytes;
    std::unique_ptr<Chunk>& chunk = chunks_[number / kChunkCells];
    if (chunk == nullptr) chunk = std::make_unique<Chunk>();
    return (*chunk)[number % kChunkCells];
  }

 private:
  static constexpr std::size_t kChunkCells = 256;
  using Chunk = std::array<Cell, kChunkCells>;
  std::unordered_map<std::uintptr_t, std::unique_ptr<Chunk>> chunks_;
};

// An access to shared memory by one instruction: those of a warp's threads with the same instruction and the same number are made together.
struct SharedAccess {
  const void* instruction;
  std::int32_t warp;
  std::int32_t number;  // of the thread's accesses by this instruction
  std::int32_t lane;
  std::int32_t offset;
  std::int32_t bytes;
};

// What a thread knows of the threads of other blocks: by block, a clock for each of its threads. Null: nothing.
using BlockClocks = std::map<std::int32_t, std::vector<std::uint32_t>>;
using KnownBlocks = std::shared_ptr<const BlockClocks>;
void add_known(KnownBlocks& to, const KnownBlocks& more);

// How a thread stands to other blocks. As in C++, an atomic operation orders what fences join to it: those before it in its own thread,
// and those after the operations that find what it wrote.
struct BlockOrder {
  KnownBlocks known;
  KnownBlocks found;   // by atomic operations: known after the next fence
  KnownBlocks fenced;  // with this block, as of the last fence: what atomic operations leave for others
};

// What is watched of a block.
struct WatchedBlock {
  std::int32_t threads = 0;
  std::vector<std::uint32_t> clocks;  // [threads, threads]: what each thread knows of each thread's clock
  std::vector<BlockOrder> orders;     // [threads]
  std::vector<Cell> shared;
  std::vector<SharedAccess> accesses;
  std::vector<std::unordered_map<const void*, std::int32_t>> instruction_counts;  // [threads]

  [[nodiscard]] std::uint32_t& clock(std::int32_t of, std::int32_t known_by) {
    return clocks[static_cast<std::size_t>(known_by) * static_cast<std::size_t>(threads) + static_cast<std::size_t>(of)];
  }
  // All of them know afterwards what each of them knew.
  void join(std::span<const std::int32_t> threads_that_met);
};

// How many times the accesses of one warp must be repeated because different words lie in the same of the 32 banks. Sorts `accesses`.
[[nodiscard]] std::uint64_t count_bank_conflicts(std::span<SharedAccess> accesses);

}  // namespace slora::emulator
