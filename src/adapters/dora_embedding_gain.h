#pragma once
#include <memory>
#include <string>

#include "adapters/derived_tensor.h"
#include "adapters/dora_gain.h"
#include "formats/model_files.h"

namespace slora {

// DoRA's gain at the embedding E [vocabulary, hidden] (PEFT's DoraEmbeddingLayer): m / the norm of each column of E + scale (B A)^T, over
// the vocabulary, where E is as the base's files have it. [hidden]. Sums in double, since there are as many squares as tokens.
class DoraEmbeddingGain final : public DerivedTensor {
 public:
  // `tensors`: A [rank, vocabulary], B [hidden, rank]. `weight`: the name of E among the base's tensors.
  DoraEmbeddingGain(DoraTensors tensors, std::shared_ptr<const ModelFiles> base, std::string weight);

  // E_NONFINITE also where a norm is 0; E_READ, E_SHAPE.
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const DoraTensors tensors_;
  const std::shared_ptr<const ModelFiles> base_;
  const std::string weight_;
};

}  // namespace slora
