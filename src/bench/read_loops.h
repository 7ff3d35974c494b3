#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace slora::bench {

// A way of reading memory: loads whose values are summed. Which is the fastest depends on the machine.
struct ReadLoop {
  std::string_view instructions;  // "avx512" or "plain"
  int streams;                    // regions that are read in parallel
  int ahead_bytes;                // prefetch distance; 0: hardware prefetchers only
  std::uint64_t (*read)(const std::byte* data, std::size_t bytes);
};

// Every loop reads whole multiples of this and skips the rest.
inline constexpr std::size_t kReadUnitBytes = 4096;

// The loops that this machine can run.
[[nodiscard]] std::vector<ReadLoop> usable_read_loops();

}  // namespace slora::bench
