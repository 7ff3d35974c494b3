#pragma once
#include "kernels/cpu/avx512_vnni.h"
#include "kernels/cpu/avx512f_int4.h"

namespace slora::cpu {

template <>
struct Int4Isa<Avx512Vnni> : Int4Isa<Avx512F> {
  [[gnu::always_inline]] static Ints dot(Ints accumulator, Words a, Words b) { return Avx512Vnni::dot_bytes(accumulator, a, b); }
};

}  // namespace slora::cpu
