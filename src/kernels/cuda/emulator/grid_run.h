#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/emulator/grid_shape.h"
#include "kernels/cuda/emulator/random.h"
#include "kernels/cuda/emulator/thread.h"

namespace slora::emulator {

class Device;
class Watch;

// One launch, from its first block to its last. The threads of a few blocks exist at a time; each runs until an operation at which it meets
// others, and which one runs next is drawn, so that every order that the barriers leave open can happen. After a fault that leaves no
// defined continuation the launch ends where it is.
class GridRun {
 public:
  GridRun(Device& device, const GridShape& shape, const BoundKernel& kernel, const Place& launch);
  ~GridRun();
  GridRun(const GridRun&) = delete;
  GridRun& operator=(const GridRun&) = delete;
  void run();

  // The launch whose thread runs now, or null. What follows is called by that thread.
  static GridRun* current();
  [[nodiscard]] Thread& thread() const { return *thread_; }
  [[nodiscard]] const GridShape& shape() const { return shape_; }
  [[nodiscard]] const BoundKernel& kernel() const { return kernel_; }
  [[nodiscard]] Watch* watch() const { return watch_; }

  // Returns when all threads of the warp have called it, with the results in `call`.
  void meet_warp(WarpCall& call);
  // Returns when all threads of the block have called it.
  void meet_block(const Place& place);
  // Lets other threads run.
  void yield(const Place& place);

  void issue_copy(AsyncCopy copy, const Place& place);
  void commit_copies() { ++thread_->group; }
  void wait_copies(std::int32_t pending_groups, const Place& place);

  // Shared memory of the thread's block. Requires of the kernel: `bytes` are no more than the launch asked for.
  std::byte* shared(std::size_t bytes, const Place& place);
  void require_aligned(const void* address, std::size_t alignment);

  void report(FaultKind kind, const FaultThread& first, const FaultThread& second, std::string what);
  // Reports and ends the launch: does not return to the kernel.
  [[noreturn]] void fail(FaultKind kind, const FaultThread& first, const FaultThread& second, std::string what);
  [[nodiscard]] static FaultThread whose(const Thread& thread) { return {thread.block->index, thread.index, thread.place}; }

 private:
  static void run_thread();
  bool has_valid_shape();
  void draw_block_order();
  void admit_block();
  Thread& draw_thread();
  void suspend();
  void arrive(Thread& thread);
  void require_shared(const std::byte* address, std::size_t bytes, std::size_t alignment);
  void wake(Thread& thread);
  void end_thread();
  void end_block(Block& block);
  void land(AsyncCopy& copy);
  void land_one_early();

  Device& device_;
  GridShape shape_;
  BoundKernel kernel_;
  Place launch_;
  Watch* watch_;
  Random random_;
  std::vector<std::int32_t> order_;  // of blocks, those left
  std::size_t resident_max_ = 1;
  std::vector<std::unique_ptr<Block>> resident_;
  std::vector<Thread*> runnable_;
  Thread* thread_ = nullptr;
  std::int32_t slow_warp_ = -1;  // of every block: runs only when others can't, for a while
  bool has_failed_ = false;
};

}  // namespace slora::emulator
