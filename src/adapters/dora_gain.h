#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "adapters/derived_tensor.h"
#include "adapters/subtracted_start.h"
#include "formats/model_files.h"

namespace slora {

// The tensors of one module of a DoRA adapter, and its scale.
struct DoraTensors {
  TensorInfo magnitude;  // [out]
  TensorInfo a;          // [rank, in]
  TensorInfo b;          // [out, rank]
  float scale = 1;
  std::shared_ptr<const SubtractedStart> start{};  // what training subtracted from W; null: nothing
};

// DoRA's gain (arXiv 2402.09353, section 4; PEFT's tuners/lora/dora.py): m / the norm of each row of W + scale B A, in fp32, where W is as
// the base's files have it, without what PiSSA or OLoRA subtracted. [out]. Computing it costs about what `rank` tokens of a prompt cost at
// this module.
class DoraGain final : public DerivedTensor {
 public:
  // `weight`: the name of W among the base's tensors.
  DoraGain(DoraTensors tensors, std::shared_ptr<const ModelFiles> base, std::string weight);

  // E_NONFINITE also where a norm is 0; E_READ, E_SHAPE.
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& gate) const override;

 private:
  const DoraTensors tensors_;
  const std::shared_ptr<const ModelFiles> base_;
  const std::string weight_;
};

}  // namespace slora
