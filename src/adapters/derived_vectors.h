#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "adapters/derived_tensor.h"
#include "formats/model_files.h"

namespace slora {

// All elements of a tensor as one vector, multiplied by a number.
class ScaledVector final : public DerivedTensor {
 public:
  ScaledVector(TensorInfo tensor, float scale);
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const TensorInfo tensor_;
  const float scale_;
};

// A bias of the base, multiplied element by element with all elements of a tensor of the adapter.
class ScaledBias final : public DerivedTensor {
 public:
  // `bias`: its name among the base's tensors.
  ScaledBias(TensorInfo factors, std::shared_ptr<const ModelFiles> base, std::string bias);
  // E_READ, E_SHAPE.
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const TensorInfo factors_;
  const std::shared_ptr<const ModelFiles> base_;
  const std::string bias_;
};

// `count` zeros.
class ZeroVector final : public DerivedTensor {
 public:
  ZeroVector(std::string name, std::int64_t count) : DerivedTensor(std::move(name), {count}) {}
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;
};

}  // namespace slora
