#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/stream.h"

namespace slora::cuda {

// A kernel that uses one function of kernels/cuda/device.h, or a few that belong together, and writes what they gave. wrappers.cu is
// compiled twice, so that a program has each kernel for a GPU and for the emulated device, and can compare.
struct Wrapper {
  const char* name;
  void (*kernel)(const std::uint32_t* in, std::uint32_t* out);  // may use what `out` held: 0xff
  std::int32_t blocks, threads;
  std::size_t shared_bytes;
  std::int32_t in_words, out_words;
};

namespace on_gpu {
[[nodiscard]] std::span<const Wrapper> wrappers();
void launch_wrapper(const Wrapper& wrapper, Stream stream, const std::uint32_t* in, std::uint32_t* out);
}  // namespace on_gpu
namespace on_emulator {
[[nodiscard]] std::span<const Wrapper> wrappers();
void launch_wrapper(const Wrapper& wrapper, Stream stream, const std::uint32_t* in, std::uint32_t* out);
}  // namespace on_emulator

}  // namespace slora::cuda
