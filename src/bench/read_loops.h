#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace slora::bench {

// One way of reading memory: plain loads that sum up what they read. Which is the fastest depends on the machine.
struct ReadLoop {
  std::string_view instructions;  // "avx512" or "plain"
  int streams;                    // places that are read side by side
  int ahead_bytes;                // how far ahead lines are asked for; 0: the machine's own prefetchers are left alone
  std::uint64_t (*read)(const std::byte* data, std::size_t bytes);
};

// Multiples of this are read whole by every loop; what is beyond is left out.
inline constexpr std::size_t kReadUnitBytes = 4096;

// Those that this machine can run.
[[nodiscard]] std::vector<ReadLoop> usable_read_loops();

}  // namespace slora::bench
