#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/cuda/emulator/fault.h"

namespace slora::emulator {

inline constexpr int kWarpThreads = 32;

// Operations that the 32 threads of a warp do together.
enum class WarpOperation : std::uint8_t { barrier, shuffle, mma, load_matrices, load_matrices_transposed };
[[nodiscard]] std::string_view name_of(WarpOperation operation);

// What one thread (lane) brings to an operation of its warp, and what it gets.
struct WarpCall {
  WarpOperation operation;
  Place place;
  std::int32_t argument = 0;           // shuffle: the lane to read from; load_matrices: how many, 1, 2 or 4
  const std::byte* address = nullptr;  // load_matrices: 16 bytes of shared memory, one row of a matrix
  std::array<std::uint32_t, 10> in{};  // shuffle: [0]; mma: a 0-3, b 4-5, c 6-9
  std::array<std::uint32_t, 4> out{};
};

// Computes `out` of all lanes. Requires: the same operation in all of them.
void compute(std::span<WarpCall* const, kWarpThreads> calls);

// The row of shared memory that `lane` reads its word of matrix `matrix` from, in the plain form: word lane % 4 of row lane / 4. In the
// transposed form it reads element lane / 4 of the rows 2 (lane % 4) and 2 (lane % 4) + 1.
struct MatrixWord {
  std::int32_t row_lane;    // the lane whose address is the row's
  std::int32_t byte_begin;  // within the row
  std::int32_t bytes;
};
// The one (plain) or two (transposed) places that `lane` reads.
[[nodiscard]] std::array<MatrixWord, 2> matrix_words(WarpOperation operation, std::int32_t lane, std::int32_t matrix);

}  // namespace slora::emulator
