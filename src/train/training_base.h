#pragma once
#include <memory>
#include <string>

#include "backend/backend.h"
#include "base/result.h"
#include "formats/model_files.h"
#include "formats/module_table.h"
#include "model/kv_geometry.h"
#include "model/weights.h"

namespace slora {

// What training does not compute the derivatives of is refused: E_UNSUPPORTED_TRAINING, with the key of config.json.
[[nodiscard]] Status check_trainable(const ModelConfig& config);

// A base model that adapters are trained on, with its weights. Owned by the program; constant but for the backend.
struct TrainingBase {
  ModelConfig config;
  std::unique_ptr<Backend> backend;
  ModuleTable modules;
  ModelWeights weights;
  std::size_t weight_bytes = 0;  // as packed
  std::string digest;            // SHA-256 of config, and of names, shapes, first and last bytes of the tensors
};

// Of the pages that a pass stores K and V in, of one layer at a time.
[[nodiscard]] KvGeometry pass_kv_geometry(const TrainingBase& base);

struct TrainingBaseOptions {
  std::string folder;
  std::string backend = "cpu";
  int threads = 0;  // 0: chosen
  Instructions instructions = Instructions::best;
  LoadProgress progress{};  // may be empty
};

// E_UNSUPPORTED_TRAINING for a model or a backend that does not train, before any weight is read; E_MEMORY; the errors of reading models.
[[nodiscard]] Result<std::unique_ptr<TrainingBase>> load_training_base(const TrainingBaseOptions& options);

}  // namespace slora
