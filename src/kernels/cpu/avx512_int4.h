#pragma once
#include "kernels/cpu/avx512.h"
#include "kernels/cpu/avx512_vnni_int4.h"

namespace slora::cpu {

template <>
struct Int4Isa<Avx512> : Int4Isa<Avx512Vnni> {};

}  // namespace slora::cpu
