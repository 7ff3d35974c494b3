#pragma once
#include <cstddef>
#include <string>

#include "base/result.h"
#include "formats/model_files.h"
#include "formats/quantization_config.h"

namespace slora {

// What a model's files have of quantised weights.
struct QuantisedWeights {
  std::size_t count = 0;
  std::string description;  // "gptq, 4 bits, groups of 128"; of several kinds each once
};

// Makes of the parts of each quantised weight (`X.qweight`, `X.scales`, ...) one tensor `X.weight`, whose numbers are computed when they
// are read. Which weights are quantised is what the files say; `config` says how. E_MISSING_TENSOR, E_SHAPE, E_DTYPE or E_UNSUPPORTED_MODEL
// for parts that are not there or contradict each other or the config, by name; E_NONFINITE; E_READ.
[[nodiscard]] Result<QuantisedWeights> read_quantised_weights(ModelFiles& files, const QuantizationConfig& config);

}  // namespace slora
