#pragma once
#include "kernels/cpu/avx2.h"

namespace slora::cpu {

// AVX2 with AVX-VNNI's VPDPBUSD: other instructions than Avx2's for the same integers, so its results have the same bits. Included only by
// the file compiled for it.
struct Avx2Vnni : Avx2 {
  static constexpr const char* kName = "avx2-vnni";

  // accumulator + the products of each lane's four bytes, unsigned in a, signed in b.
  [[gnu::always_inline]] static TileInts dot_bytes(TileInts accumulator, TileWords a, TileWords b) {
    return __builtin_bit_cast(TileInts, _mm256_dpbusd_avx_epi32(__builtin_bit_cast(__m256i, accumulator), __builtin_bit_cast(__m256i, a),
                                                                __builtin_bit_cast(__m256i, b)));
  }
};

}  // namespace slora::cpu
