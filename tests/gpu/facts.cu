// Kernels of gpu_facts.
#include "facts.h"

#include "kernels/cuda/device.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 256, kBlocks = 1024;

__global__ void random_kernel(std::uint16_t* out, std::size_t count, std::uint32_t seed) {
  for (std::size_t i = static_cast<std::size_t>(block_index()) * kThreads + static_cast<std::size_t>(thread_index()); i < count;
       i += kThreads * kBlocks) {
    std::uint64_t state = (i + 1) * 0x9e3779b97f4a7c15u + seed;
    state = (state ^ state >> 31) * 0xbf58476d1ce4e5b9u;
    state ^= state >> 29;
    const float value = static_cast<float>(static_cast<std::int32_t>(state >> 32)) / 2147483648.0f;
    out[i] = static_cast<std::uint16_t>(pack_bf16(value, 0));
  }
}

__global__ void empty_kernel() {}

}  // namespace

void fill_random(Stream stream, std::uint16_t* out, std::size_t count, std::uint32_t seed) {
  launch(random_kernel, {kBlocks, kThreads}, stream, out, count, seed);
}
void launch_empty(Stream stream) { launch(empty_kernel, {1, 32}, stream); }

}  // namespace slora::cuda
