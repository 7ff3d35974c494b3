#pragma once
#include <cstdint>

#include "adapters/derived_tensor.h"

namespace slora {

// A matrix [rows, blocks * cols] of blocks on its diagonal, and zeros elsewhere, whose blocks a tensor [rows, cols] has one below the
// other: BD-LoRA's A or B.
class BlockDiagonal final : public DerivedTensor {
 public:
  // Requires: `block_count` divides the rows.
  BlockDiagonal(const TensorInfo& blocks, std::int64_t block_count);
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const TensorInfo blocks_;
  const std::int64_t block_count_;
};

}  // namespace slora
