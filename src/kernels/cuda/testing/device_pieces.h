#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/lora_args.h"
#include "kernels/cuda/testing/kernel_case.h"

namespace slora::cuda {

// Matrices in the emulated device's memory, each in several pieces as pages of a pool would cut it, with memory of their own.
class DevicePieces {
 public:
  DevicePieces(KernelCase& kernel_case, MatrixAlignment alignment) : case_(kernel_case), alignment_(alignment) {}

  // Numbers [rows, cols] in one to four pieces of whole rows or, without alignment, now and then each row in blocks of columns.
  void add(std::int32_t rows, std::int32_t cols, const std::vector<float>& values);

  [[nodiscard]] const std::vector<MatrixPiece>& pieces() const { return pieces_; }
  [[nodiscard]] std::int32_t count() const { return static_cast<std::int32_t>(pieces_.size()); }
  [[nodiscard]] MatrixAlignment alignment() const { return alignment_; }

 private:
  void add_piece(MatrixPiece piece, std::int32_t cols, const std::vector<float>& values);

  KernelCase& case_;
  const MatrixAlignment alignment_;
  std::vector<std::unique_ptr<emulator::DeviceArray<Bfloat16>>> memory_;
  std::vector<MatrixPiece> pieces_;
};

}  // namespace slora::cuda
