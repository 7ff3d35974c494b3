#include "kernels/cuda/emulator/warp_operation.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "tensor/dtype.h"

namespace slora::emulator {
namespace {

float low_half(std::uint32_t word) { return to_float(Bfloat16{static_cast<std::uint16_t>(word)}); }
float high_half(std::uint32_t word) { return to_float(Bfloat16{static_cast<std::uint16_t>(word >> 16)}); }

// d = a b + c, where a [16, 16] and b [16, 8] are bf16, c and d [16, 8] fp32. Which lane holds which element is what the PTX manual says of
// mma.m16n8k16 with .bf16: with group = lane / 4 and t = lane % 4,
//   a: words 0-3 are rows group, group + 8, group, group + 8 and columns 2 t + {0, 1} (words 0, 1), 8 + 2 t + {0, 1} (words 2, 3);
//   b: words 0-1 are rows 2 t + {0, 1}, 8 + 2 t + {0, 1} of column group;
//   c, d: words 0-3 are (group, 2 t), (group, 2 t + 1), (group + 8, 2 t), (group + 8, 2 t + 1).
void compute_mma(std::span<WarpCall* const, kWarpThreads> calls) {
  std::array<std::array<float, 16>, 16> a;
  std::array<std::array<float, 8>, 16> b;
  for (std::size_t lane = 0; lane < kWarpThreads; ++lane) {
    const std::size_t group = lane / 4, t = lane % 4;
    const std::array<std::uint32_t, 10>& in = calls[lane]->in;
    for (std::size_t word = 0; word < 4; ++word) {
      const std::size_t row = group + 8 * (word % 2), column = 8 * (word / 2) + 2 * t;
      a[row][column] = low_half(in[word]);
      a[row][column + 1] = high_half(in[word]);
    }
    for (std::size_t word = 0; word < 2; ++word) {
      b[8 * word + 2 * t][group] = low_half(in[4 + word]);
      b[8 * word + 2 * t + 1][group] = high_half(in[4 + word]);
    }
  }
  for (std::size_t lane = 0; lane < kWarpThreads; ++lane) {
    const std::size_t group = lane / 4, t = lane % 4;
    for (std::size_t word = 0; word < 4; ++word) {
      const std::size_t row = group + 8 * (word / 2), column = 2 * t + word % 2;
      float sum = std::bit_cast<float>(calls[lane]->in[6 + word]);
      for (std::size_t k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      calls[lane]->out[word] = std::bit_cast<std::uint32_t>(sum);
    }
  }
}

void compute_load_matrices(std::span<WarpCall* const, kWarpThreads> calls) {
  const WarpOperation operation = calls[0]->operation;
  for (std::int32_t lane = 0; lane < kWarpThreads; ++lane) {
    WarpCall& call = *calls[static_cast<std::size_t>(lane)];
    for (std::int32_t matrix = 0; matrix < call.argument; ++matrix) {
      std::array<std::byte, 4> word{};
      std::size_t filled = 0;
      for (const MatrixWord& part : matrix_words(operation, lane, matrix)) {
        const std::byte* const row = calls[static_cast<std::size_t>(part.row_lane)]->address;
        std::memcpy(word.data() + filled, row + part.byte_begin, static_cast<std::size_t>(part.bytes));
        filled += static_cast<std::size_t>(part.bytes);
      }
      std::memcpy(&call.out[static_cast<std::size_t>(matrix)], word.data(), sizeof(word));
    }
  }
}

}  // namespace

std::string_view name_of(WarpOperation operation) {
  switch (operation) {
    case WarpOperation::barrier:
      return "warp_barrier";
    case WarpOperation::shuffle:
      return "shuffle";
    case WarpOperation::mma:
      return "mma";
    case WarpOperation::load_matrices:
      return "load_matrices";
    case WarpOperation::load_matrices_transposed:
      return "load_matrices_transposed";
  }
  return "?";
}

std::array<MatrixWord, 2> matrix_words(WarpOperation operation, std::int32_t lane, std::int32_t matrix) {
  if (operation == WarpOperation::load_matrices) return {MatrixWord{8 * matrix + lane / 4, 4 * (lane % 4), 4}, MatrixWord{0, 0, 0}};
  const std::int32_t first_row = 8 * matrix + 2 * (lane % 4);
  return {MatrixWord{first_row, 2 * (lane / 4), 2}, MatrixWord{first_row + 1, 2 * (lane / 4), 2}};
}

void compute(std::span<WarpCall* const, kWarpThreads> calls) {
  switch (calls[0]->operation) {
    case WarpOperation::barrier:
      return;
    case WarpOperation::shuffle:
      for (WarpCall* const call : calls) call->out[0] = calls[static_cast<std::size_t>(call->argument % kWarpThreads)]->in[0];
      return;
    case WarpOperation::mma:
      compute_mma(calls);
      return;
    case WarpOperation::load_matrices:
    case WarpOperation::load_matrices_transposed:
      compute_load_matrices(calls);
      return;
  }
}

}  // namespace slora::emulator
