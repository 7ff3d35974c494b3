#pragma once
#include "kernels/cpu/portable.h"

namespace slora::cpu {

// AVX2 with FMA: sixteen lanes are two registers, and the compiler makes one instruction of each product and sum (products of bf16
// are exact in fp32, so that changes no sum of them). Included only by the file compiled for it.
struct Avx2 : Portable {
  static constexpr const char* kName = "avx2";
  static constexpr int rows_max(int vectors) { return vectors == 1 ? 4 : vectors == 2 ? 2 : 1; }
  static constexpr int kTileRows = 4;

  using TileFloats [[gnu::vector_size(32)]] = float;
  using TileWords [[gnu::vector_size(32)]] = std::uint32_t;
};

}  // namespace slora::cpu
