#include "kernels/cuda/emulator/kernel_side.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/emulator/grid_run.h"
#include "kernels/cuda/emulator/launch_target.h"

namespace slora::cuda {
namespace {

using emulator::AccessKind;
using emulator::GridRun;
using emulator::WarpCall;
using emulator::WarpOperation;

GridRun& run() { return *GridRun::current(); }

template <std::size_t kCount>
void load(WarpOperation operation, std::uint32_t (&words)[kCount], const void* row, const Place& place) {
  WarpCall call{
      .operation = operation, .place = place, .argument = static_cast<std::int32_t>(kCount), .address = static_cast<const std::byte*>(row)};
  run().meet_warp(call);
  std::copy_n(call.out.begin(), kCount, words);
}

}  // namespace

void launch_bound(const StreamAt& to, const LaunchShape& shape, const emulator::BoundKernel& kernel) {
  emulator::LaunchTarget::of(to.stream).launch(shape, kernel, to.place);
}

std::int32_t thread_index() { return run().thread().index; }
std::int32_t thread_count() { return run().shape().threads; }
std::int32_t block_index() { return run().thread().block->index; }
std::int32_t block_count() { return run().shape().blocks; }

std::byte* shared_bytes(std::size_t bytes, Place place) { return run().shared(bytes, place); }

void block_barrier(Place place) { run().meet_block(place); }
void warp_barrier(Place place) {
  WarpCall call{.operation = WarpOperation::barrier, .place = place};
  run().meet_warp(call);
}

std::uint32_t shuffle_word(std::uint32_t word, std::int32_t lane, Place place) {
  WarpCall call{.operation = WarpOperation::shuffle, .place = place, .argument = lane, .in = {word}};
  run().meet_warp(call);
  return call.out[0];
}

void mma_m16n8k16(float (&sum)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], Place place) {
  WarpCall call{.operation = WarpOperation::mma, .place = place};
  std::copy_n(a, 4, call.in.begin());
  std::copy_n(b, 2, call.in.begin() + 4);
  std::transform(sum, sum + 4, call.in.begin() + 6, [](float value) { return std::bit_cast<std::uint32_t>(value); });
  run().meet_warp(call);
  std::transform(call.out.begin(), call.out.end(), sum, [](std::uint32_t word) { return std::bit_cast<float>(word); });
}

void load_matrices(std::uint32_t (&words)[2], const void* row, Place place) { load(WarpOperation::load_matrices, words, row, place); }
void load_matrices(std::uint32_t (&words)[4], const void* row, Place place) { load(WarpOperation::load_matrices, words, row, place); }
void load_matrices_transposed(std::uint32_t (&words)[2], const void* row, Place place) {
  load(WarpOperation::load_matrices_transposed, words, row, place);
}
void load_matrices_transposed(std::uint32_t (&words)[4], const void* row, Place place) {
  load(WarpOperation::load_matrices_transposed, words, row, place);
}

void issue_copy(void* to, const void* from, std::int32_t bytes, std::int32_t valid_bytes, Place place) {
  run().issue_copy(
      {.to = static_cast<std::byte*>(to), .from = static_cast<const std::byte*>(from), .bytes = bytes, .valid_bytes = valid_bytes}, place);
}
void commit_copies() { run().commit_copies(); }
void wait_copy_groups(std::int32_t pending_groups, Place place) { run().wait_copies(pending_groups, place); }

void store_bytes(void* to, const void* from, std::size_t bytes, Place place) {
  // Told from other stores of the kernel by its line, which has an address of its own among the places.
  const void* const instruction = place.file_name() + (std::size_t{place.line()} << 16) + place.column();
  run().require_aligned(to, bytes);
  if (run().watch() != nullptr) run().watch()->access(run().thread(), to, bytes, AccessKind::write, instruction);
  std::memcpy(to, from, bytes);
}

void fence(Place place) {
  run().yield(place);
  if (run().watch() != nullptr) run().watch()->fence(run().thread());
}

std::uint32_t atomic_add(std::uint32_t* address, std::uint32_t value, Place place) {
  run().yield(place);
  if (run().watch() != nullptr) {
    run().watch()->access(run().thread(), address, sizeof(*address), AccessKind::atomic);
    run().watch()->meet_blocks(run().thread(), address);
  }
  const std::uint32_t before = *address;
  *address += value;
  return before;
}

}  // namespace slora::cuda
