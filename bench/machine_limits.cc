#include "machine_limits.h"

#include <atomic>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace slora::bench {
namespace {

constexpr std::size_t kTurnBytes = std::size_t{1} << 20;

// Four sums, so that loads and not additions are waited for.
std::uint64_t sum_words(const std::uint64_t* words, std::size_t count) {
  std::uint64_t sums[4] = {};
  for (std::size_t i = 0; i + 4 <= count; i += 4) {
    for (std::size_t j = 0; j < 4; ++j) sums[j] += words[i + j];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

#if defined(__x86_64__)
constexpr int kChains = 24;
constexpr std::int64_t kRounds = 2'000'000;
constexpr double kFlopPerDot = 64;  // sixteen lanes of two products and two sums

[[gnu::target("avx512f,avx512bf16")]] float run_dots() {
  const __m512bh a = __builtin_bit_cast(__m512bh, _mm512_set1_epi32(0x3f803f80));
  __m512 sums[kChains];
#pragma GCC unroll 24
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_setzero_ps();
  for (std::int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i) {
      sums[i] = _mm512_dpbf16_ps(sums[i], a, a);
      asm volatile("" : "+v"(sums[i]));
    }
  }
  __m512 total = _mm512_setzero_ps();
#pragma GCC unroll 24
  for (int i = 0; i < kChains; ++i) total = _mm512_add_ps(total, sums[i]);
  return _mm512_cvtss_f32(total);
}
#endif

}  // namespace

double read_bandwidth(cpu::ThreadPool& pool, const Buffer& memory) {
  std::atomic<std::uint64_t> total{0};
  const double seconds = median_seconds([&] {
    pool.parallel_for(static_cast<std::int64_t>(memory.bytes() / kTurnBytes), [&](std::int64_t turn, int) {
      const auto* words = reinterpret_cast<const std::uint64_t*>(memory.data() + static_cast<std::size_t>(turn) * kTurnBytes);
      total += sum_words(words, kTurnBytes / sizeof(std::uint64_t));
    });
  });
  return static_cast<double>(memory.bytes()) / seconds;
}

double bfloat16_peak(cpu::ThreadPool& pool) {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx512bf16")) return 0;
  std::atomic<float> total{0};
  const int turns = 4 * pool.thread_count();
  const double seconds = median_seconds([&] { pool.parallel_for(turns, [&](std::int64_t, int) { total = total + run_dots(); }); });
  return turns * static_cast<double>(kRounds) * kChains * kFlopPerDot / seconds;
#else
  static_cast<void>(pool);
  return 0;
#endif
}

}  // namespace slora::bench
