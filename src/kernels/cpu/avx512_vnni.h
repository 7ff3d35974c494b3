#pragma once
#include "kernels/cpu/avx512f.h"

namespace slora::cpu {

// AVX-512 with VPDPBUSD: other instructions than Avx512F's for the same integers, so its results have the same bits. Included only by files
// compiled for it, or for more.
struct Avx512Vnni : Avx512F {
  static constexpr const char* kName = "avx512-vnni";

  // accumulator + the products of each lane's four bytes, unsigned in a, signed in b.
  [[gnu::always_inline]] static Ints dot_bytes(Ints accumulator, Words a, Words b) {
    return __builtin_bit_cast(Ints, _mm512_dpbusd_epi32(__builtin_bit_cast(__m512i, accumulator), __builtin_bit_cast(__m512i, a),
                                                        __builtin_bit_cast(__m512i, b)));
  }
};

}  // namespace slora::cpu
