#include "bench/read_loops.h"

#include <utility>

namespace slora::bench {
namespace {

using Line = std::uint64_t __attribute__((vector_size(64)));

// Reads `data` as kStreams regions in parallel.
template <int kStreams, int kAheadBytes>
[[gnu::always_inline]] inline std::uint64_t read_streams(const std::byte* data, std::size_t bytes) {
  constexpr std::size_t kTurnBytes = 256;
  const std::size_t run = bytes / kReadUnitBytes * kReadUnitBytes / kStreams;
  Line sums[kStreams] = {};
  for (std::size_t at = 0; at < run; at += kTurnBytes) {
#pragma GCC unroll 8
    for (int stream = 0; stream < kStreams; ++stream) {
      const std::byte* from = data + static_cast<std::size_t>(stream) * run + at;
#pragma GCC unroll 4
      for (std::size_t line = 0; line < kTurnBytes; line += sizeof(Line)) {
        if constexpr (kAheadBytes > 0) __builtin_prefetch(from + kAheadBytes + line, 0, 2);
        Line words;
        __builtin_memcpy(&words, from + line, sizeof words);
        sums[stream] += words;
      }
    }
  }
  std::uint64_t total = 0;
  for (const Line& sum : sums) {
    for (int lane = 0; lane < 8; ++lane) total += sum[lane];
  }
  return total;
}

struct Plain {
  static constexpr std::string_view kName = "plain";
  template <int kStreams, int kAheadBytes>
  static std::uint64_t read(const std::byte* data, std::size_t bytes) {
    return read_streams<kStreams, kAheadBytes>(data, bytes);
  }
};

#if defined(__x86_64__)
struct Avx512 {
  static constexpr std::string_view kName = "avx512";
  template <int kStreams, int kAheadBytes>
  [[gnu::target("avx512f")]] static std::uint64_t read(const std::byte* data, std::size_t bytes) {
    return read_streams<kStreams, kAheadBytes>(data, bytes);
  }
};
#endif

template <class Isa>
void add_loops(std::vector<ReadLoop>& loops) {
  const auto add = [&]<int... kAheadBytes>(std::integer_sequence<int, kAheadBytes...>) {
    (loops.push_back({Isa::kName, 1, kAheadBytes, &Isa::template read<1, kAheadBytes>}), ...);
    (loops.push_back({Isa::kName, 2, kAheadBytes, &Isa::template read<2, kAheadBytes>}), ...);
    (loops.push_back({Isa::kName, 4, kAheadBytes, &Isa::template read<4, kAheadBytes>}), ...);
    (loops.push_back({Isa::kName, 8, kAheadBytes, &Isa::template read<8, kAheadBytes>}), ...);
  };
  add(std::integer_sequence<int, 0, 1024, 2048, 4096, 8192, 16384>{});
}

}  // namespace

std::vector<ReadLoop> usable_read_loops() {
  std::vector<ReadLoop> loops;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    add_loops<Avx512>(loops);
    return loops;
  }
#endif
  add_loops<Plain>(loops);
  return loops;
}

}  // namespace slora::bench
