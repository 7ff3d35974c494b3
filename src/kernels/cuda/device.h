#pragma once
// All that kernels see of the device. A kernel includes this header and nothing else of CUDA, so that the same source is compiled by nvcc
// for a GPU and by any C++20 compiler for the emulator (kernels/cuda/emulator), which runs it in tests. In `place` parameters the emulator
// gets the line of the kernel; functions that call these functions for a kernel pass their own on.
//
//   launch(kernel, {blocks, threads, shared bytes}, stream, arguments...)   Instead of <<<>>>, which no other compiler knows.
//   shared<T>()                  All shared memory of the block as one struct: sizeof(T) is what the launch asks for.
//   thread_index(), thread_count(), block_index(), block_count()     In one dimension.
//   block_barrier()              All threads of the block; it orders their memory accesses.
//   warp_barrier()               All threads of the warp; it orders their memory accesses.
//   shuffle(value, lane), shuffle_xor(value, mask)     All threads of the warp take part, always; they order no memory accesses.
//   mma_m16n8k16(sum, a, b)      sum [16, 8] fp32 += a [16, 16] b [16, 8] in bf16, spread over the warp as in PTX.
//   load_matrices(words, row)    2 or 4 matrices [8, 8] bf16 from shared memory: lane l gives row l % 8 of matrix l / 8 (16 bytes) and gets
//                                word l % 4 of row l / 4 of each matrix.
//   load_matrices_transposed     The same, of the transposed matrices.
//   copy_async<4, 8 or 16>(to, from, valid_bytes)     From global to shared memory; bytes from valid_bytes on become zero.
//   CachePolicy, read_once(), read_again()            copy_async<n>(..., policy): whether it leaves L2 first (evict_first).
//   commit_copies(), wait_copies<n>()                 Closes a group of this thread's copies; waits for all groups but its last n. Other
//                                                     threads see the bytes after a barrier.
//   load_once(address)           A load of what is read once: it is not kept in L1 and goes first from L2.
//   store_whole(address, value)  One store of 8 or 16 bytes: the host's compiler may make several of a plain one, with other conflicts.
//   atomic_add(address, value)   Returns the value before.
//   fence()                      As __threadfence(): before an atomic operation that publishes what the block wrote before a barrier, and
//                                after one that finds what another block published.
//   pack_bf16(low, high)         Two numbers rounded to bf16 in one word.
//   multiply_high(a, b)          The upper half of the 128 bits of a product.
//   multiply_add(a, b, c)        a b + c, rounded once. Of a b + c d either compiler may round either product.
//   bits_to_float, float_to_bits, larger, power_of_two, logarithm_of_two, reciprocal, reciprocal_sqrt     Without calls of functions on the
//   device.
#ifdef __CUDACC__
#include "kernels/cuda/device_nvcc.h"
#else
#include "kernels/cuda/emulator/kernel_side.h"
#endif

#include "kernels/cuda/stream.h"

namespace slora::cuda {

inline constexpr std::int32_t kWarpThreads = 32;

__device__ inline std::int32_t lane_index() { return thread_index() % kWarpThreads; }
__device__ inline std::int32_t warp_index() { return thread_index() / kWarpThreads; }

// The sum over the warp, in every lane.
__device__ inline float warp_sum(float value, Place place = Place::current()) {
  for (std::int32_t mask = kWarpThreads / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask, place);
  return value;
}

}  // namespace slora::cuda
