#pragma once
#include <cstdint>
#include <string>

#include "base/result.h"
#include "formats/model_config.h"
#include "formats/model_files.h"
#include "formats/quantised_weights.h"

namespace slora {

// A model folder whose config and weight files have been held against each other. Where a flag of the config contradicts the tensors, the
// tensors decide as they do in transformers, and `config.warnings` says so. Tensors that nothing computes with are left out of `files`.
struct ModelFolder {
  ModelConfig config;
  ModelFiles files;
  QuantisedWeights quantised{};
};

// What is made of the numbers of linear modules in layers when they are read.
enum class WeightRounding : std::uint8_t {
  none,
  nf4,  // what bitsandbytes' NF4 keeps of them, as adapters of QLoRA had the base in training; not of the embedding, the head, gains,
        // biases
};

// Reads config.json and the headers of the weight files, or those of a GGUF file at this path, which is not rounded. In addition to the errors of their readers E_MODEL_CONFIG, for a flag that says
// the contrary of the tensors where neither can be followed.
[[nodiscard]] Result<ModelFolder> open_model_folder(const std::string& folder, WeightRounding rounding = WeightRounding::none);

}  // namespace slora
