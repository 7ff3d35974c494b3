#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "formats/gguf_names.h"
#include "formats/json.h"
#include "formats/model_config.h"
#include "formats/model_files.h"

namespace slora {

// A base model as llama.cpp's programs keep it: one GGUF file, or the shards NAME-00001-of-0000N.gguf of one.
struct GgufModel {
  std::vector<GgufFile> shards;  // the first has the entries of the model
  const GgufArchitecture* architecture = nullptr;

  [[nodiscard]] const GgufFile& head() const { return shards.front(); }
  // The tensor of this name, or nullptr.
  [[nodiscard]] const GgufTensor* find_tensor(std::string_view name) const;
};

// `path`: of the file, or of any shard. Reads the headers. E_NO_FILE and other errors of files, E_GGUF, E_DTYPE, E_UNSUPPORTED_MODEL; each
// names the file.
[[nodiscard]] Result<GgufModel> open_gguf_model(const std::string& path);

// The same of files that were read, all shards in their order. E_MODEL_CONFIG, E_UNSUPPORTED_MODEL.
[[nodiscard]] Result<GgufModel> gguf_model_of(std::vector<GgufFile> shards);

// What config.json would say.
struct GgufConfig {
  std::unique_ptr<Json> config;  // an object
  std::vector<std::string> warnings;
};
// E_MODEL_CONFIG, E_UNSUPPORTED_MODEL; each names the file and the entry or the tensor.
[[nodiscard]] Result<GgufConfig> config_of_gguf(const GgufModel& model);
// The same, interpreted.
[[nodiscard]] Result<ModelConfig> model_config_of_gguf(const GgufModel& model);
// "rope_scaling" of config.json; null where there is none. `rotated_dim`: elements of a head that rotate.
[[nodiscard]] Result<Json> rope_scaling_of_gguf(const GgufModel& model, double theta, std::int64_t rotated_dim);

// The tensors by the names and in the order of rows that config.json's models have. `config` is config_of_gguf's. E_UNKNOWN_TENSOR,
// E_SHAPE, E_MODEL_FILES.
[[nodiscard]] Result<ModelFiles> files_of_gguf(const GgufModel& model, const Json& config);

}  // namespace slora
