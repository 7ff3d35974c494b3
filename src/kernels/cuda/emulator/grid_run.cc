#include "kernels/cuda/emulator/grid_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "kernels/cuda/emulator/device.h"

namespace slora::emulator {
namespace {

constexpr std::int32_t kThreadsMax = 1024;

thread_local GridRun* current_run = nullptr;

}  // namespace

GridRun::GridRun(Device& device, const GridShape& shape, const BoundKernel& kernel, const Place& launch)
    : device_(device),
      shape_(shape),
      kernel_(kernel),
      launch_(launch),
      watch_(kernel.is_watched ? &device.watch() : nullptr),
      random_(device.draw_seed()) {}

GridRun::~GridRun() {
  for (const std::unique_ptr<Block>& block : resident_) {
    for (Thread& thread : block->threads) device_.fibers().give_back(std::move(thread.fiber));
  }
}

GridRun* GridRun::current() { return current_run; }

void GridRun::run() {
  check(current_run == nullptr, "expected launches from the host only");
  if (!has_valid_shape()) return;
  draw_block_order();
  if (watch_ != nullptr) watch_->begin_launch();
  current_run = this;
  while (!has_failed_) {
    while (resident_.size() < resident_max_ && !order_.empty()) admit_block();
    if (runnable_.empty()) break;
    thread_ = &draw_thread();
    thread_->fiber->resume();
    if (thread_->has_ended && ++thread_->block->ended == shape_.threads) end_block(*thread_->block);
  }
  current_run = nullptr;
  check(has_failed_ || resident_.empty(), "expected threads that wait to be woken, or a fault");
}

bool GridRun::has_valid_shape() {
  const std::size_t shared_max = device_.options().shared_bytes_max;
  if (shape_.blocks >= 1 && shape_.threads >= kWarpThreads && shape_.threads <= kThreadsMax && shape_.threads % kWarpThreads == 0 &&
      shape_.shared_bytes <= shared_max) {
    return true;
  }
  report(FaultKind::bad_launch, {}, {},
         fmt::format("{} blocks of {} threads and {} bytes of shared memory; expected at least one block, a multiple of {} threads up to "
                     "{}, at most {} bytes",
                     shape_.blocks, shape_.threads, shape_.shared_bytes, kWarpThreads, kThreadsMax, shared_max));
  return false;
}

void GridRun::draw_block_order() {
  order_.resize(static_cast<std::size_t>(shape_.blocks));
  std::iota(order_.begin(), order_.end(), 0);
  for (std::size_t left = order_.size(); left > 1; --left)
    std::swap(order_[left - 1], order_[random_.below(static_cast<std::uint32_t>(left))]);
  resident_max_ = 1 + random_.below(static_cast<std::uint32_t>(device_.options().resident_blocks_max));
  if (random_.one_in(2)) slow_warp_ = static_cast<std::int32_t>(random_.below(static_cast<std::uint32_t>(shape_.threads / kWarpThreads)));
}

void GridRun::admit_block() {
  Block& block = *resident_.emplace_back(std::make_unique<Block>());
  block.index = order_.back();
  order_.pop_back();
  block.warps.resize(static_cast<std::size_t>(shape_.threads / kWarpThreads));
  block.threads.resize(static_cast<std::size_t>(shape_.threads));
  block.shared = block.memory.allocate(shape_.shared_bytes);
  for (std::int32_t index = 0; index < shape_.threads; ++index) {
    Thread& thread = block.threads[static_cast<std::size_t>(index)];
    thread.index = index;
    thread.block = &block;
    thread.place = launch_;
    thread.fiber = device_.fibers().take();
    thread.fiber->prepare(run_thread);
    runnable_.push_back(&thread);
  }
  if (watch_ != nullptr) watch_->admit(block, shape_);
}

Thread& GridRun::draw_thread() {
  constexpr int kTries = 8;  // after which a thread of the slow warp may run
  const auto count = static_cast<std::uint32_t>(runnable_.size());
  std::size_t drawn = random_.below(count);
  for (int i = 0; i < kTries && runnable_[drawn]->index / kWarpThreads == slow_warp_; ++i) drawn = random_.below(count);
  Thread& thread = *runnable_[drawn];
  runnable_[drawn] = runnable_.back();
  runnable_.pop_back();
  return thread;
}

void GridRun::run_thread() {
  GridRun& run = *current_run;
  run.kernel_.call(run.kernel_.bound);
  run.end_thread();
  check(false, "expected no continuation of a thread that has ended");
}

void GridRun::end_thread() {
  Thread& thread = *thread_;
  Warp& warp = thread.warp();
  if (warp.waiting != nullptr) {
    fail(FaultKind::ended_thread, whose(thread), whose(*warp.waiting),
         fmt::format("the first ended, the second waits at {}", operation_of(*warp.waiting)));
  }
  if (const std::vector<Thread*>& waiting = thread.block->waiting; !waiting.empty()) {
    fail(FaultKind::ended_thread, whose(thread), whose(*waiting.front()), "the first ended, the second waits at block_barrier");
  }
  if (!thread.copies.empty()) report(FaultKind::unwaited_copy, whose(thread), {}, fmt::format("{} copies in flight", thread.copies.size()));
  thread.has_ended = true;
  warp.ended = &thread;
  suspend();
}

void GridRun::end_block(Block& block) {
  if (block.memory.has_changed_guards()) {
    report(FaultKind::overwritten_guard, {block.index, -1, launch_}, {}, "next to the block's shared memory");
  }
  if (watch_ != nullptr) watch_->retire(block);
  for (Thread& thread : block.threads) device_.fibers().give_back(std::move(thread.fiber));
  std::erase_if(resident_, [&](const std::unique_ptr<Block>& resident) { return resident.get() == &block; });
}

void GridRun::report(FaultKind kind, const FaultThread& first, const FaultThread& second, std::string what) {
  device_.report({kind, launch_, first, second, std::move(what)});
}
void GridRun::fail(FaultKind kind, const FaultThread& first, const FaultThread& second, std::string what) {
  report(kind, first, second, std::move(what));
  has_failed_ = true;
  suspend();
  check(false, "expected no continuation after a fault that ends the launch");
  std::abort();
}

void GridRun::suspend() { thread_->fiber->suspend(); }

void GridRun::yield(const Place& place) {
  thread_->place = place;
  runnable_.push_back(thread_);
  suspend();
}

}  // namespace slora::emulator
