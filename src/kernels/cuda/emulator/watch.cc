#include "kernels/cuda/emulator/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/check.h"

// Where the program's own code and data lie (from the linker).
extern "C" const char __executable_start;  // NOLINT
extern "C" const char _end;                // NOLINT

namespace slora::emulator {
namespace {

bool is_within(const void* address, const void* begin, const void* end) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  return at >= reinterpret_cast<std::uintptr_t>(begin) && at < reinterpret_cast<std::uintptr_t>(end);
}

bool is_ordered(const Access& earlier, const Thread& thread) {
  if (earlier.block < 0) return true;
  if (earlier.block != thread.block->index) {
    const KnownBlocks& known = thread.block->watched.orders[static_cast<std::size_t>(thread.index)].known;
    if (known == nullptr) return false;
    const auto block = known->find(earlier.block);
    return block != known->end() && block->second[static_cast<std::size_t>(earlier.thread)] >= earlier.clock;
  }
  return earlier.thread == thread.index || thread.block->watched.clock(earlier.thread, thread.index) >= earlier.clock;
}

void add_reader(Cell& cell, const Access& reader, const Thread& thread) {
  for (std::size_t i = 0; i < cell.reader_count; ++i) {
    if (is_ordered(cell.readers[i], thread)) {  // whoever races with it races with this one
      cell.readers[i] = reader;
      return;
    }
  }
  if (cell.reader_count < Cell::kReadersKept) cell.readers[cell.reader_count++] = reader;
}

struct Collision {
  FaultKind kind;
  Access earlier;  // the access that it collides with, or none
};

// What is wrong with this access to the cell.
std::optional<Collision> find_collision(const Cell& cell, const Thread& thread, AccessKind kind) {
  if (cell.is_in_flight) return Collision{FaultKind::copy_in_flight, cell.writer};
  const bool both_atomic = kind == AccessKind::atomic && cell.writer.is_atomic;
  if (!both_atomic && !is_ordered(cell.writer, thread)) {
    if (cell.writer.block != thread.block->index) return Collision{FaultKind::race_between_blocks, cell.writer};
    return Collision{kind == AccessKind::read ? FaultKind::write_read_race : FaultKind::write_write_race, cell.writer};
  }
  if (kind != AccessKind::read) {
    for (std::size_t i = 0; i < cell.reader_count; ++i) {
      const Access& reader = cell.readers[i];
      if (is_ordered(reader, thread)) continue;
      return Collision{reader.block == thread.block->index ? FaultKind::read_write_race : FaultKind::race_between_blocks, reader};
    }
  }
  if (kind != AccessKind::write && !cell.is_initialised) return Collision{FaultKind::uninitialised_read, {}};
  return std::nullopt;
}

}  // namespace

void Watch::host_wrote(const void* address, std::size_t bytes) {
  const auto* const begin = static_cast<const std::byte*>(address);
  for (std::size_t i = 0; i < bytes; i += Cell::kBytes) shadow_.cell(begin + i).is_initialised = true;
}

void Watch::begin_launch() {
  ++launch_;
  left_.clear();
}

void Watch::admit(Block& block, const GridShape& shape) {
  WatchedBlock& watched = block.watched;
  const auto threads = static_cast<std::size_t>(shape.threads);
  watched.threads = shape.threads;
  watched.clocks.assign(threads * threads, 0);
  for (std::int32_t thread = 0; thread < shape.threads; ++thread) watched.clock(thread, thread) = 1;
  watched.orders.assign(threads, {});
  watched.shared.assign(shape.shared_bytes / Cell::kBytes + 1, Cell{});
  watched.instruction_counts.resize(threads);
}

void Watch::retire(Block& block) { counts_.shared_bank_conflicts += count_bank_conflicts(block.watched.accesses); }

void Watch::access(Thread& thread, const void* address, std::size_t bytes, AccessKind kind, const void* instruction) {
  const Kind memory = require_allowed(thread, address, bytes, kind);
  if (memory == Kind::of_the_thread) return;
  ++counts_.accesses;
  const auto* const begin = static_cast<const std::byte*>(address);
  if (memory == Kind::shared && instruction != nullptr) count_shared(thread, begin, bytes, instruction);
  touch(bytes, thread, begin, memory, kind);
}

Watch::Kind Watch::require_allowed(const Thread& thread, const void* address, std::size_t bytes, AccessKind kind) const {
  GridRun& run = *GridRun::current();
  const auto fail = [&](FaultKind fault, std::string what) { run.fail(fault, GridRun::whose(thread), {}, std::move(what)); };
  const auto* const begin = static_cast<const std::byte*>(address);
  if (thread.block->memory.surrounds(begin)) {
    const std::ptrdiff_t offset = begin - thread.block->shared;
    if (offset >= 0 && static_cast<std::size_t>(offset) + bytes <= run.shape().shared_bytes) return Kind::shared;
    fail(FaultKind::out_of_bounds, fmt::format("{} bytes at offset {} of {} of shared memory", bytes, offset, run.shape().shared_bytes));
  }
  if (memory_.is_device_address(begin)) {
    if (memory_.holds(begin, bytes)) return Kind::global;
    const DeviceMemory::Allocation* const allocation = memory_.find(begin);
    if (allocation != nullptr && !allocation->is_live && begin < allocation->begin + allocation->bytes) {
      fail(FaultKind::freed_memory, fmt::format("byte {} of a freed allocation", begin - allocation->begin));
    }
    fail(FaultKind::out_of_bounds, allocation == nullptr ? std::string("before the first allocation")
                                                         : fmt::format("{} bytes at offset {} of an allocation of {}", bytes,
                                                                       begin - allocation->begin, allocation->bytes));
  }
  if (thread.fiber->holds(begin)) return Kind::of_the_thread;
  const auto* const bound = static_cast<const std::byte*>(run.kernel().bound);
  const bool is_constant = is_within(begin, bound, bound + run.kernel().bound_bytes) || is_within(begin, &__executable_start, &_end);
  if (!is_constant || kind != AccessKind::read) fail(FaultKind::not_device_memory, fmt::format("{} bytes of the host", bytes));
  return Kind::of_the_thread;
}

Cell& Watch::cell(Thread& thread, const std::byte* address, Kind memory) {
  if (memory == Kind::global) return shadow_.cell(address);
  return thread.block->watched.shared[static_cast<std::size_t>(address - thread.block->shared) / Cell::kBytes];
}

void Watch::renew(Cell& cell) const {
  if (cell.launch == launch_) return;
  cell.launch = launch_;
  cell.is_in_flight = false;
  cell.reader_count = 0;
  cell.writer = {};
}

Access Watch::access_of(Thread& thread, AccessKind kind) const {
  return {thread.block->index, thread.index, thread.block->watched.clock(thread.index, thread.index), kind == AccessKind::atomic,
          thread.place};
}

void Watch::touch(std::size_t count, Thread& thread, const std::byte* address, Kind memory, AccessKind kind) {
  const Access mine = access_of(thread, kind);
  bool has_reported = false;
  for (std::size_t i = 0; i < count; i += Cell::kBytes) {
    Cell& at = cell(thread, address + i, memory);
    renew(at);
    const std::optional<Collision> collision = has_reported ? std::nullopt : find_collision(at, thread, kind);
    if (collision) {
      has_reported = true;
      const Access& earlier = collision->earlier;
      GridRun::current()->report(collision->kind, {earlier.block, earlier.thread, earlier.place}, GridRun::whose(thread),
                                 describe(thread, address + i, memory));
    }
    if (kind == AccessKind::read) {
      add_reader(at, mine, thread);
    } else {
      at.writer = mine;
      at.reader_count = 0;
      at.is_initialised = true;
    }
  }
}

std::string Watch::describe(const Thread& thread, const std::byte* address, Kind memory) const {
  if (memory == Kind::shared) return fmt::format("byte {} of shared memory", address - thread.block->shared);
  const DeviceMemory::Allocation& allocation = *memory_.find(address);
  return fmt::format("byte {} of an allocation of {}", address - allocation.begin, allocation.bytes);
}

void Watch::count_shared(Thread& thread, const std::byte* address, std::size_t bytes, const void* instruction) const {
  WatchedBlock& watched = thread.block->watched;
  const std::int32_t number = watched.instruction_counts[static_cast<std::size_t>(thread.index)][instruction]++;
  watched.accesses.push_back({instruction, thread.index / kWarpThreads, number, thread.index % kWarpThreads,
                              static_cast<std::int32_t>(address - thread.block->shared), static_cast<std::int32_t>(bytes)});
}

void Watch::join(std::span<Thread* const> threads_that_met) {
  std::vector<std::int32_t> indices;
  for (const Thread* const thread : threads_that_met) indices.push_back(thread->index);
  threads_that_met.front()->block->watched.join(indices);
}

void Watch::fence(Thread& thread) {
  WatchedBlock& watched = thread.block->watched;
  BlockOrder& order = watched.orders[static_cast<std::size_t>(thread.index)];
  add_known(order.known, order.found);
  BlockClocks clocks = order.known == nullptr ? BlockClocks{} : *order.known;
  std::vector<std::uint32_t>& mine = clocks[thread.block->index];
  for (std::int32_t of = 0; of < watched.threads; ++of) mine.push_back(watched.clock(of, thread.index));
  order.fenced = std::make_shared<const BlockClocks>(std::move(clocks));
  ++watched.clock(thread.index, thread.index);  // what follows is not what the fence orders
}

void Watch::meet_blocks(Thread& thread, const void* address) {
  BlockOrder& order = thread.block->watched.orders[static_cast<std::size_t>(thread.index)];
  KnownBlocks& left = left_[address];
  add_known(order.found, left);
  add_known(left, order.fenced);
}

void Watch::warp_operation(Block& block, std::int32_t warp, const std::array<WarpCall*, kWarpThreads>& calls) {
  const WarpOperation operation = calls[0]->operation;
  const auto lane_thread = [&](std::int32_t lane) -> Thread& {
    return block.threads[static_cast<std::size_t>(warp * kWarpThreads + lane)];
  };
  if (operation == WarpOperation::barrier) {
    std::array<Thread*, kWarpThreads> threads;
    for (std::int32_t lane = 0; lane < kWarpThreads; ++lane) threads[static_cast<std::size_t>(lane)] = &lane_thread(lane);
    join(threads);
  }
  if (operation != WarpOperation::load_matrices && operation != WarpOperation::load_matrices_transposed) return;
  for (std::int32_t matrix = 0; matrix < calls[0]->argument; ++matrix) {
    std::vector<SharedAccess> rows;
    for (std::int32_t row = 8 * matrix; row < 8 * matrix + 8; ++row) {
      rows.push_back({nullptr, 0, 0, row % 8, static_cast<std::int32_t>(calls[static_cast<std::size_t>(row)]->address - block.shared), 16});
    }
    counts_.matrix_bank_conflicts += count_bank_conflicts(rows);
    for (std::int32_t lane = 0; lane < kWarpThreads; ++lane) {
      for (const MatrixWord& word : matrix_words(operation, lane, matrix)) {
        if (word.bytes == 0) continue;
        access(lane_thread(lane), calls[static_cast<std::size_t>(word.row_lane)]->address + word.byte_begin,
               static_cast<std::size_t>(word.bytes), AccessKind::read);
      }
    }
  }
}

void Watch::begin_copy(Thread& thread, const std::byte* to, std::size_t bytes) {
  touch(bytes, thread, to, Kind::shared, AccessKind::write);
  for (std::size_t i = 0; i < bytes; i += Cell::kBytes) cell(thread, to + i, Kind::shared).is_in_flight = true;
}

void Watch::end_copy(Thread& thread, const std::byte* to, std::size_t bytes) {
  const Access mine = access_of(thread, AccessKind::write);
  for (std::size_t i = 0; i < bytes; i += Cell::kBytes) {
    Cell& at = cell(thread, to + i, Kind::shared);
    at.is_in_flight = false;
    at.writer = mine;
    at.reader_count = 0;
  }
}

}  // namespace slora::emulator
