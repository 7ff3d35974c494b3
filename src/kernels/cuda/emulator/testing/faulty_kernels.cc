#include "kernels/cuda/emulator/testing/faulty_kernels.h"

#include "kernels/cuda/emulator/kernel_side.h"

namespace slora::emulator {
namespace {

using namespace slora::cuda;  // NOLINT: what a kernel sees

constexpr std::int32_t kThreads = 64;
constexpr std::int32_t kCopied = 4;  // floats of an asynchronous copy

struct FaultyShared {
  alignas(16) float first[kThreads];
  float second[kThreads];
  alignas(16) float copied[2][kThreads];
  float unused;
  std::uint32_t arrived;
};

__global__ void faulty_kernel(FaultyArgs args) {
  FaultyShared& mine = shared<FaultyShared>();
  const std::int32_t t = thread_index();
  const auto fails = [&](Fail fail) { return args.fail == fail; };

  // Through shared memory: written by one thread, read by another.
  const std::int32_t other = kThreads - 1 - t;
  mine.first[fails(Fail::two_writers) ? t / 2 : t] = args.in[t];
  if (!fails(Fail::barrier_after_write)) block_barrier();
  const float before = fails(Fail::two_writers) ? args.in[other] : mine.first[other];
  if (!fails(Fail::barrier_before_reuse)) block_barrier();
  mine.first[t] = before;  // reuses what others have read

  // Within a warp.
  mine.second[t] = before;
  if (!fails(Fail::warp_barrier)) warp_barrier();
  float sum = mine.second[t ^ 1];
  warp_barrier();
  mine.second[t ^ 1] = sum;

  // By copies: two groups, each read by its neighbour's threads.
  block_barrier();
  for (std::int32_t group = 0; group < 2; ++group) {
    if (t % kCopied == 0) copy_async<16>(&mine.copied[group][t], args.in + t);
    commit_copies();
  }
  if (fails(Fail::wait_leaves_one)) {
    wait_copies<1>();
  } else if (!fails(Fail::wait_for_copies)) {
    wait_copies<0>();
  }
  block_barrier();
  sum = before + mine.copied[1][t] - mine.copied[0][t];
  if (!fails(Fail::copy_to_what_is_read)) block_barrier();
  if (t % kCopied == 0) copy_async<16>(&mine.copied[1][other - kCopied + 1], args.in + t);
  commit_copies();
  if (!fails(Fail::forgotten_copies)) wait_copies<0>();

  if (fails(Fail::never_written)) sum += mine.unused;
  if (fails(Fail::never_written_global)) sum += args.out[block_index() * kThreads + t];
  if (fails(Fail::shared_bounds)) mine.first[t + static_cast<std::int32_t>(sizeof(FaultyShared) / sizeof(float))] = sum;
  if (fails(Fail::global_bounds)) sum += args.in[t + 1];
  if (fails(Fail::before_bounds)) sum += args.in[t - 1];
  if (fails(Fail::freed) || fails(Fail::host_memory)) sum += args.not_ours[t];
  args.out[(fails(Fail::blocks_share_a_word) ? 0 : block_index()) * kThreads + t] = sum + args.in[t];
  if (fails(Fail::reads_other_blocks_word) && block_index() > 0) args.out[block_index() * kThreads + t] += args.out[t];

  // From block to block.
  block_barrier();
  if (t == 0) {
    if (!fails(Fail::fence_before_arrival)) fence();
    mine.arrived = atomic_add(args.counter, 1);
    if (!fails(Fail::fence_after_arrival)) fence();
  }
  block_barrier();
  if (static_cast<std::int32_t>(mine.arrived) + 1 < block_count()) return;
  float total = 0;
  for (std::int32_t block = 0; block < block_count(); ++block) total += args.out[block * kThreads + t];
  args.total[t] = total;
}

struct StridedShared {
  float words[32 * 33];
};

__global__ void strided_kernel(std::int32_t stride) {
  StridedShared& mine = shared<StridedShared>();
  mine.words[thread_index() * stride] = 1;
}

}  // namespace

void run_faulty_kernel(Device& device, std::int32_t blocks, const FaultyArgs& args) {
  cuda::launch(faulty_kernel, {blocks, kThreads, sizeof(FaultyShared)}, device.stream(), args);
}
void run_strided_kernel(Device& device, std::int32_t stride) {
  cuda::launch(strided_kernel, {1, kWarpThreads, sizeof(StridedShared)}, device.stream(), stride);
}

}  // namespace slora::emulator
