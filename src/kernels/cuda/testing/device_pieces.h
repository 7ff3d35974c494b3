#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/lora_args.h"
#include "kernels/cuda/testing/kernel_case.h"

namespace slora::cuda {

// Matrices in the emulated device's memory as pages of a pool would cut them, with memory of their own.
class DevicePieces {
 public:
  struct Matrix {
    const Bfloat16* whole = nullptr;      // if it is in one piece
    const MatrixPiece* pieces = nullptr;  // else, in device memory
  };

  // Matrices are cut between rows, or now and then every row is cut into blocks of columns.
  enum class Cuts : std::uint8_t { between_rows, any, columns };

  DevicePieces(KernelCase& kernel_case, Cuts cuts) : case_(kernel_case), cuts_(cuts) {}

  // Numbers [rows, cols].
  [[nodiscard]] Matrix add(std::int32_t rows, std::int32_t cols, const std::vector<float>& values);

 private:
  [[nodiscard]] MatrixPiece make_piece(MatrixPiece piece, std::int32_t cols, const std::vector<float>& values);

  KernelCase& case_;
  const Cuts cuts_;
  std::vector<std::unique_ptr<emulator::DeviceArray<Bfloat16>>> memory_;
  std::vector<std::unique_ptr<emulator::DeviceArray<MatrixPiece>>> pieces_;  // of each matrix
};

// Numbers of records in the emulated device's memory: biases and gains.
class DeviceVectors {
 public:
  explicit DeviceVectors(KernelCase& kernel_case) : case_(kernel_case) {}

  // Null if there are none.
  [[nodiscard]] const float* add(const std::vector<float>& values);
  // Of no gain now and then null.
  [[nodiscard]] const LoraGains* add_gains(const LoraGains& gains);

 private:
  KernelCase& case_;
  std::vector<std::unique_ptr<emulator::DeviceArray<float>>> memory_;
  std::vector<std::unique_ptr<emulator::DeviceArray<LoraGains>>> gains_;
};

// Tables of adapters of which only one layer's records are ever read: those of the others are nobody's.
class DeviceTables {
 public:
  explicit DeviceTables(KernelCase& kernel_case)
      : case_(kernel_case), layers_(kernel_case.draw(1, 3)), layer_(kernel_case.draw(0, layers_ - 1)) {}

  [[nodiscard]] std::int32_t layer() const { return layer_; }
  // With some empty records behind these.
  [[nodiscard]] LoraTable add(std::vector<LoraRecord> records);

 private:
  KernelCase& case_;
  const std::int32_t layers_, layer_;
  std::vector<std::unique_ptr<emulator::DeviceArray<LoraRecord>>> memory_;
};

}  // namespace slora::cuda
