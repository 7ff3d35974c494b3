#pragma once
#include <algorithm>
#include <array>
#include <chrono>

#include "kernels/cpu/thread_pool.h"
#include "tensor/buffer.h"

namespace slora::bench {

// Bytes per second at which the pool's threads read all of `memory`.
[[nodiscard]] double read_bandwidth(cpu::ThreadPool& pool, const Buffer& memory);

// FLOP per second of VDPBF16PS on registers, on all of the pool's threads; 0 where the machine has no such instruction.
[[nodiscard]] double bfloat16_peak(cpu::ThreadPool& pool);

// The median of five runs after one that is not counted.
template <class Function>
[[nodiscard]] double median_seconds(Function&& run) {
  run();
  std::array<double, 5> seconds{};
  for (double& second : seconds) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    second = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[2];
}

}  // namespace slora::bench
