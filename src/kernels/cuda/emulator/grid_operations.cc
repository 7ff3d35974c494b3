// What threads of a launch do together: operations of a warp, barriers of a block, and copies that land later.
#include <fmt/format.h>

#include <cstring>

#include "kernels/cuda/emulator/device.h"
#include "kernels/cuda/emulator/grid_run.h"

namespace slora::emulator {
namespace {

constexpr std::uint32_t kEarlyLanding = 8;  // one operation in so many lets a copy land that nobody has waited for yet

bool is_same(const Place& a, const Place& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

}  // namespace

std::string_view operation_of(const Thread& thread) { return thread.call != nullptr ? name_of(thread.call->operation) : "block_barrier"; }

// The thread arrives at an operation at which its whole warp must arrive.
void GridRun::arrive(Thread& thread) {
  Warp& warp = thread.warp();
  land_one_early();
  if (warp.ended != nullptr) {
    fail(FaultKind::ended_thread, whose(*warp.ended), whose(thread),
         fmt::format("the first ended, the second is at {}", operation_of(thread)));
  }
  if (warp.waiting == nullptr) {
    warp.waiting = &thread;
    return;
  }
  const Thread& other = *warp.waiting;
  if (operation_of(thread) != operation_of(other) || !is_same(thread.place, other.place)) {
    fail(FaultKind::different_operations, whose(other), whose(thread), fmt::format("{} and {}", operation_of(other), operation_of(thread)));
  }
}

void GridRun::meet_warp(WarpCall& call) {
  Thread& thread = *thread_;
  Warp& warp = thread.warp();
  thread.place = call.place;
  thread.call = &call;
  arrive(thread);
  const std::int32_t lane = thread.index % kWarpThreads;
  const bool gives_row = call.operation == WarpOperation::load_matrices || call.operation == WarpOperation::load_matrices_transposed;
  if (gives_row && lane < 8 * call.argument) require_shared(call.address, 16, 16);
  warp.calls[static_cast<std::size_t>(lane)] = &call;
  if (++warp.arrived < kWarpThreads) {
    suspend();
    return;
  }
  if (watch_ != nullptr) watch_->warp_operation(*thread.block, thread.index / kWarpThreads, warp.calls);
  compute(warp.calls);
  warp.arrived = 0;
  warp.waiting = nullptr;
  const std::int32_t first = thread.index - lane;
  for (std::int32_t i = first; i < first + kWarpThreads; ++i) wake(thread.block->threads[static_cast<std::size_t>(i)]);
  suspend();
}

void GridRun::meet_block(const Place& place) {
  Thread& thread = *thread_;
  Block& block = *thread.block;
  thread.place = place;
  arrive(thread);
  if (block.ended > 0) {
    for (const Thread& other : block.threads) {
      if (other.has_ended) fail(FaultKind::ended_thread, whose(other), whose(thread), "the first ended, the second is at block_barrier");
    }
  }
  if (!block.waiting.empty() && !is_same(block.waiting.front()->place, place)) {
    fail(FaultKind::different_operations, whose(*block.waiting.front()), whose(thread), "block_barrier at two places");
  }
  block.waiting.push_back(&thread);
  if (block.waiting.size() < block.threads.size()) {
    suspend();
    return;
  }
  if (watch_ != nullptr) watch_->join(block.waiting);
  for (Thread* const waiting : block.waiting) {
    waiting->warp().waiting = nullptr;
    wake(*waiting);
  }
  block.waiting.clear();
  suspend();
}

void GridRun::wake(Thread& thread) {
  thread.call = nullptr;
  runnable_.push_back(&thread);
}

std::byte* GridRun::shared(std::size_t bytes, const Place& place) {
  thread_->place = place;
  if (bytes > shape_.shared_bytes) {
    fail(FaultKind::shared_too_small, whose(*thread_), {}, fmt::format("expected {} bytes, launched with {}", bytes, shape_.shared_bytes));
  }
  return thread_->block->shared;
}

void GridRun::require_aligned(const void* address, std::size_t alignment) {
  if (reinterpret_cast<std::uintptr_t>(address) % alignment == 0) return;
  fail(FaultKind::misaligned, whose(*thread_), {}, fmt::format("expected a multiple of {} bytes", alignment));
}

void GridRun::require_shared(const std::byte* address, std::size_t bytes, std::size_t alignment) {
  require_aligned(address, alignment);
  const auto offset = address - thread_->block->shared;
  if (offset >= 0 && static_cast<std::size_t>(offset) + bytes <= shape_.shared_bytes) return;
  fail(FaultKind::out_of_bounds, whose(*thread_), {},
       fmt::format("{} bytes at offset {} of {} of shared memory", bytes, offset, shape_.shared_bytes));
}

void GridRun::issue_copy(AsyncCopy copy, const Place& place) {
  Thread& thread = *thread_;
  thread.place = place;
  const auto bytes = static_cast<std::size_t>(copy.bytes);
  const auto valid_bytes = static_cast<std::size_t>(copy.valid_bytes);
  require_shared(copy.to, bytes, bytes);
  require_aligned(copy.from, bytes);
  if (copy.valid_bytes < 0 || copy.valid_bytes > copy.bytes || (valid_bytes > 0 && !device_.memory().holds(copy.from, valid_bytes))) {
    fail(FaultKind::out_of_bounds, whose(thread), {},
         fmt::format("an asynchronous copy of {} of {} bytes reads no live allocation", copy.valid_bytes, copy.bytes));
  }
  if (watch_ != nullptr) {
    if (valid_bytes > 0) watch_->access(thread, copy.from, valid_bytes, AccessKind::read);
    watch_->begin_copy(thread, copy.to, bytes);
  }
  std::memset(copy.to, 0xff, bytes);  // neither the old bytes nor the new ones may be used from now on
  copy.group = thread.group;
  thread.copies.push_back(copy);
}

void GridRun::land(AsyncCopy& copy) {
  if (copy.has_landed) return;
  copy.has_landed = true;
  std::memset(copy.to, 0, static_cast<std::size_t>(copy.bytes));
  std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.valid_bytes));
}

void GridRun::land_one_early() {
  std::vector<AsyncCopy>& copies = thread_->copies;
  if (copies.empty() || !random_.one_in(kEarlyLanding)) return;
  land(copies[random_.below(static_cast<std::uint32_t>(copies.size()))]);
}

void GridRun::wait_copies(std::int32_t pending_groups, const Place& place) {
  Thread& thread = *thread_;
  thread.place = place;
  std::erase_if(thread.copies, [&](AsyncCopy& copy) {
    if (copy.group >= thread.group - pending_groups) return false;
    land(copy);
    if (watch_ != nullptr) watch_->end_copy(thread, copy.to, static_cast<std::size_t>(copy.bytes));
    return true;
  });
}

}  // namespace slora::emulator
