#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "adapters/derived_tensor.h"

namespace slora {

// What a matrix of VB-LoRA (arXiv 2405.15179; PEFT's tuners/vblora) is made of. It is cut into tiles of `bank.shape[1]` numbers, each a
// weighted sum of a few vectors of a bank. Which, and with which weights: those with the largest logits, with the softmax of these logits,
// or as the file says.
struct TileTensors {
  TensorInfo bank;                    // [vectors, length]
  std::int64_t vectors_per_tile = 0;  // at most bank.shape[0]
  std::optional<TensorInfo> logits;   // [tiles, tiles, vectors]; in A the outer tiles are ranks, in B the inner ones
  std::optional<TensorInfo> indices;  // [tiles, tiles, vectors_per_tile], integers; without `logits`
  std::optional<TensorInfo> weights;  // [tiles, tiles, vectors_per_tile - 1], where the last is what is missing to 1
};

enum class TileOrder : std::uint8_t {
  along_rows,     // of A [rank, in]: a tile is a piece of a row
  along_columns,  // of B [out, rank]: of a column
};

// A or B of a module of a VB-LoRA adapter.
class BankMatrix final : public DerivedTensor {
 public:
  BankMatrix(TileTensors tensors, TileOrder order);

  // E_INDEX where the file names a vector that the bank does not have, or one twice; E_NONFINITE also for weights below 0.
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const TileTensors tensors_;
  const TileOrder order_;
};

}  // namespace slora
