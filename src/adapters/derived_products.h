#pragma once
#include <cstdint>

#include "adapters/derived_tensor.h"

namespace slora {

// AdaLoRA's E * A: every row of A multiplied by its number in E, so that B (E * (A x)) is B ((E * A) x). [rank, in]
class ScaledRows final : public DerivedTensor {
 public:
  // `rows`: [rank, in]. `factors`: [rank, 1].
  ScaledRows(const TensorInfo& rows, const TensorInfo& factors);
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const TensorInfo rows_, factors_;
};

// LoHa's update is the product, element by element, of two matrices of rank r, B1 A1 and B2 A2:
//   (B1 A1) o (B2 A2) = sum over j, k of (B1[:, j] * B2[:, k]) (A1[j, :] * A2[k, :])
// which is one of rank r^2. Its A: row j * r + k is row j of `first` times row k of `second`. [r * r, in]
class RowProducts final : public DerivedTensor {
 public:
  // Both [r, in].
  RowProducts(const TensorInfo& first, const TensorInfo& second);
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const TensorInfo first_, second_;
};

// And its B: column j * r + k is column j of `first` times column k of `second`. [out, r * r]
class ColumnProducts final : public DerivedTensor {
 public:
  // Both [out, r].
  ColumnProducts(const TensorInfo& first, const TensorInfo& second);
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const TensorInfo first_, second_;
};

}  // namespace slora
