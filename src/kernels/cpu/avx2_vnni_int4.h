#pragma once
#include "kernels/cpu/avx2_int4.h"
#include "kernels/cpu/avx2_vnni.h"

namespace slora::cpu {

template <>
struct Int4Isa<Avx2Vnni> : Int4Isa<Avx2> {
  [[gnu::always_inline]] static Avx2::TileInts dot(Avx2::TileInts accumulator, Avx2::TileWords a, Avx2::TileWords b) {
    return Avx2Vnni::dot_bytes(accumulator, a, b);
  }
};

}  // namespace slora::cpu
