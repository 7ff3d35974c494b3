#include "bench/peak_loops.h"

#include "kernels/cpu/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace slora::bench {
namespace {

constexpr int kRounds = 200'000;

// Independent accumulators. All loops over them unroll, so that they stay in registers.
constexpr int kNarrowChains = 12;
using NarrowFloats = float __attribute__((vector_size(16)));

double run_plain() {
  const NarrowFloats factor = {1.0f, 1.0f, 1.0f, 1.0f};
  NarrowFloats sums[kNarrowChains] = {};
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kNarrowChains; ++i) {
      sums[i] = sums[i] * factor + factor;
#if defined(__x86_64__)
      asm volatile("" : "+x"(sums[i]));  // keeps the compiler from simplifying the chain
#elif defined(__aarch64__)
      asm volatile("" : "+w"(sums[i]));
#endif
    }
  }
  double total = 0;
#pragma GCC unroll 32
  for (int i = 0; i < kNarrowChains; ++i) total += static_cast<double>(sums[i][0]);
  return total;
}

#if defined(__x86_64__)
constexpr int kWideChains = 24;

[[gnu::target("avx2,fma")]] double run_fma_256() {
  const __m256 one = _mm256_set1_ps(1.0f);
  __m256 sums[kNarrowChains] = {};
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kNarrowChains; ++i) {
      sums[i] = _mm256_fmadd_ps(one, one, sums[i]);
      asm volatile("" : "+v"(sums[i]));
    }
  }
  double total = 0;
#pragma GCC unroll 32
  for (int i = 0; i < kNarrowChains; ++i) total += static_cast<double>(_mm256_cvtss_f32(sums[i]));
  return total;
}

[[gnu::target("avx512f")]] double run_fma_512() {
  const __m512 one = _mm512_set1_ps(1.0f);
  __m512 sums[kWideChains] = {};
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kWideChains; ++i) {
      sums[i] = _mm512_fmadd_ps(one, one, sums[i]);
      asm volatile("" : "+v"(sums[i]));
    }
  }
  double total = 0;
#pragma GCC unroll 32
  for (int i = 0; i < kWideChains; ++i) total += static_cast<double>(_mm512_cvtss_f32(sums[i]));
  return total;
}

[[gnu::target("avx512f,avx512bf16")]] double run_bf16_dots() {
  const __m512bh one = __builtin_bit_cast(__m512bh, _mm512_set1_epi32(0x3f803f80));
  __m512 sums[kWideChains] = {};
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kWideChains; ++i) {
      sums[i] = _mm512_dpbf16_ps(sums[i], one, one);
      asm volatile("" : "+v"(sums[i]));
    }
  }
  double total = 0;
#pragma GCC unroll 32
  for (int i = 0; i < kWideChains; ++i) total += static_cast<double>(_mm512_cvtss_f32(sums[i]));
  return total;
}

[[gnu::target("avx2,avxvnni")]] double run_int8_dots_256() {
  const __m256i one = _mm256_set1_epi32(0x01010101);
  __m256i sums[kNarrowChains] = {};
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kNarrowChains; ++i) {
      sums[i] = _mm256_dpbusd_avx_epi32(sums[i], one, one);
      asm volatile("" : "+v"(sums[i]));
    }
  }
  double total = 0;
#pragma GCC unroll 32
  for (int i = 0; i < kNarrowChains; ++i) total += static_cast<double>(_mm_cvtsi128_si32(_mm256_castsi256_si128(sums[i])));
  return total;
}

[[gnu::target("avx512f,avx512vnni")]] double run_int8_dots_512() {
  const __m512i one = _mm512_set1_epi32(0x01010101);
  __m512i sums[kWideChains] = {};
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kWideChains; ++i) {
      sums[i] = _mm512_dpbusd_epi32(sums[i], one, one);
      asm volatile("" : "+v"(sums[i]));
    }
  }
  double total = 0;
#pragma GCC unroll 32
  for (int i = 0; i < kWideChains; ++i) total += static_cast<double>(_mm_cvtsi128_si32(_mm512_castsi512_si128(sums[i])));
  return total;
}
#endif

}  // namespace

std::vector<PeakLoop> usable_peak_loops(Instructions instructions) {
  constexpr double kNarrowRuns = static_cast<double>(kRounds) * kNarrowChains;
  std::vector<PeakLoop> loops;
#if defined(__x86_64__)
  constexpr double kWideRuns = static_cast<double>(kRounds) * kWideChains;
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (instructions <= Instructions::avx512 && __builtin_cpu_supports("avx512f")) {
    loops.push_back({Arithmetic::fp32, "VFMADD 512", 32 * kWideRuns, &run_fma_512});
  } else if (instructions <= Instructions::avx2 && has_avx2) {
    loops.push_back({Arithmetic::fp32, "VFMADD 256", 16 * kNarrowRuns, &run_fma_256});
  }
  if (instructions <= Instructions::avx512_bf16 && __builtin_cpu_supports("avx512bf16")) {
    loops.push_back({Arithmetic::bf16, "VDPBF16PS", 64 * kWideRuns, &run_bf16_dots});
  }
  if (instructions <= Instructions::avx512_vnni && __builtin_cpu_supports("avx512vnni")) {
    loops.push_back({Arithmetic::int8, "VPDPBUSD 512", 128 * kWideRuns, &run_int8_dots_512});
  } else if (instructions <= Instructions::avx2_vnni && has_avx2 && cpu::has_avx_vnni()) {
    loops.push_back({Arithmetic::int8, "VPDPBUSD 256", 64 * kNarrowRuns, &run_int8_dots_256});
  }
#endif
  if (loops.empty()) loops.push_back({Arithmetic::fp32, "128-bit multiply and add", 8 * kNarrowRuns, &run_plain});
  return loops;
}

}  // namespace slora::bench
