#pragma once
#include <array>
#include <cstddef>
#include <utility>

#include "kernels/cpu/widened.h"

namespace slora::cpu {

// Attention's micro-kernel: out [rows, cols] (= or +=) sum over pairs of bf16 of x * w. x is stored in lines of 16 pairs of one row, as
// softmax writes its weights; w [pairs, cols] in words of pairs, in runs of contiguous pairs, as pages hold it. Every element is one chain
// of dot instructions, or of multiply-adds, in the order of the pairs, for any shape of the tile and any split of the pairs over calls.
struct AttendTileArgs {
  float* out = nullptr;
  std::ptrdiff_t out_stride = 0;
  const std::uint32_t* x = nullptr;                // [pairs / 16, rows], each a line
  const std::uint32_t* const* runs = nullptr;      // the start of every 2^run_shift pairs of w; at most 64 runs
  const std::uint32_t* const* prefetch = nullptr;  // runs of the same shape to prefetch while computing
  int run_shift = 0;
  std::ptrdiff_t run_offset = 0;  // words from a run's start to the tile's first column
  std::ptrdiff_t pair_stride = 0;
  std::ptrdiff_t vector_stride = kLanes;
  std::ptrdiff_t prefetch_stride = kLanes;  // the same for the runs to prefetch
  std::ptrdiff_t begin = 0;                 // pairs [begin, end)
  std::ptrdiff_t end = 0;
};

// A line of x: 16 words of two bf16, or without an instruction for these the even elements in fp32 and then the odd ones.
template <class Isa>
inline constexpr std::int64_t kAttendLineWords = Isa::kDotsPairs ? kLanes : 2 * kLanes;

template <class Isa>
[[gnu::always_inline]] inline void store_attend_line(std::uint32_t* line, Words pairs) {
  if constexpr (Isa::kDotsPairs) {
    store_words(line, pairs);
  } else {
    store_words(line, pairs << 16);
    store_words(line + kLanes, pairs & kOddMask<Words>);
  }
}

template <class Isa>
[[gnu::always_inline]] inline std::uint32_t attend_line_pair(const std::uint32_t* line, std::int64_t pair) {
  return Isa::kDotsPairs ? line[pair] : line[pair] >> 16 | line[kLanes + pair];
}

enum class AttendStart { zero, out };  // initial value of the sums

template <class Isa, int kRows, int kVectors, AttendStart kStart>
void attend_tile(const AttendTileArgs& args) {
  using Sums = typename Isa::TileFloats;
  using Pairs = typename Isa::TileWords;
  constexpr int kWidth = sizeof(Sums) / sizeof(float);
  constexpr int kParts = kLanes / kWidth;  // registers per vector
  Sums sums[kRows][kVectors * kParts];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors * kParts; ++v) {
      sums[r][v] = Sums{};
      if constexpr (kStart == AttendStart::out) __builtin_memcpy(&sums[r][v], args.out + r * args.out_stride + v * kWidth, sizeof(Sums));
    }
  }
  const std::ptrdiff_t run_pairs = std::ptrdiff_t{1} << args.run_shift;
  for (std::ptrdiff_t pair = args.begin; pair < args.end;) {
    const std::ptrdiff_t in_run = pair & (run_pairs - 1);
    const std::ptrdiff_t stop = least(args.end, pair - in_run + run_pairs);
    const std::uint32_t* x = args.x + pair / kLanes * kRows * kAttendLineWords<Isa> + pair % kLanes;
    const std::uint32_t* w = args.runs[pair >> args.run_shift] + args.run_offset + in_run * args.pair_stride;
    const std::ptrdiff_t prefetch = args.prefetch[pair >> args.run_shift] - args.runs[pair >> args.run_shift];
    for (; pair < stop; ++pair, ++x, w += args.pair_stride) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) __builtin_prefetch(w + prefetch + v * args.prefetch_stride, 0, 3);
      const auto pairs_at = [&](const std::uint32_t* at, int v) {
        Pairs pairs;
        __builtin_memcpy(&pairs, at + v / kParts * args.vector_stride + v % kParts * kWidth, sizeof pairs);
        return pairs;
      };
      if constexpr (Isa::kDotsPairs) {
        Pairs columns[kVectors * kParts];
#pragma GCC unroll 16
        for (int v = 0; v < kVectors * kParts; ++v) columns[v] = pairs_at(w, v);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const Pairs value = x[r * kLanes] - Pairs{};
#pragma GCC unroll 16
          for (int v = 0; v < kVectors * kParts; ++v) sums[r][v] = Isa::dot(sums[r][v], columns[v], value);
        }
      } else {
        add_pair<Isa>(sums, x, kAttendLineWords<Isa>, kLanes, w, pairs_at);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors * kParts; ++v) __builtin_memcpy(args.out + r * args.out_stride + v * kWidth, &sums[r][v], sizeof(Sums));
  }
}

// Runs the tile with `rows` rows. Requires: 1 <= rows <= kRowsMax.
template <class Isa, int kRowsMax, int kVectors, AttendStart kStart>
void attend_tile_of_rows(std::int64_t rows, const AttendTileArgs& args) {
  static constexpr auto kTable = []<int... kRow>(std::integer_sequence<int, kRow...>) {
    return std::array<void (*)(const AttendTileArgs&), sizeof...(kRow)>{&attend_tile<Isa, kRow + 1, kVectors, kStart>...};
  }
  (std::make_integer_sequence<int, kRowsMax>{});
  kTable[static_cast<std::size_t>(rows - 1)](args);
}

}  // namespace slora::cpu
