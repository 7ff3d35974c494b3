#pragma once
#include <cstdint>

#include "kernels/cuda/emulator/device.h"

namespace slora::emulator {

// Small kernels with one seeded fault each, or none. They are compiled for watching.
enum class Fail : std::uint8_t {
  nothing,
  barrier_after_write,      // missing: write-read race
  barrier_before_reuse,     // missing: read-write race
  two_writers,              // of one place: write-write race
  warp_barrier,             // missing, between the two halves of a warp's exchange
  wait_for_copies,          // missing
  wait_leaves_one,          // waits for all groups but one where none may be left
  copy_to_what_is_read,     // a copy is issued into what others may still read
  forgotten_copies,         // ends with copies in flight
  never_written,            // shared memory is read that nobody wrote
  never_written_global,     // the same of global memory
  shared_bounds,            // the element after the struct's end
  global_bounds,            // the element after an allocation's end
  before_bounds,            // the one before its begin
  freed,                    // global memory that has been freed
  host_memory,              // a pointer to the host's heap
  blocks_share_a_word,      // two blocks write the same word with no atomic operation
  reads_other_blocks_word,  // a block reads what another writes
  fence_before_arrival,     // missing: blocks count how many they are, and the last reads what the others wrote
  fence_after_arrival,      // the same
};

struct FaultyArgs {
  Fail fail;
  float* out;              // [blocks, 64]
  float* total;            // [64], of all blocks
  const float* in;         // [64]
  const float* not_ours;   // freed, or the host's
  std::uint32_t* counter;  // one, for all blocks
};

// Sums pairs of `in` through shared memory: out[b, t] = in[t] + in[63 - t], of 64 threads each block. The last block to come writes the sum
// of all.
void run_faulty_kernel(Device& device, std::int32_t blocks, const FaultyArgs& args);

// Each thread stores word thread * stride of shared memory and reads it back: bank conflicts for strides that share factors with 32.
void run_strided_kernel(Device& device, std::int32_t stride);

}  // namespace slora::emulator
