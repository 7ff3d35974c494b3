#pragma once
#include <filesystem>
#include <string>

#include "base/result.h"

namespace slora::bench {

enum class WeightSource { files, random };

// What --model means.
struct ModelSource {
  std::string name;
  std::filesystem::path folder;  // with config.json
  WeightSource weights = WeightSource::files;
};

// A folder with weights; a folder with only a config.json, or such a file, for random weights; or the name of a built-in shape. Shapes
// and files are copied into `scratch`.
[[nodiscard]] Result<ModelSource> find_model(const std::string& model, const std::filesystem::path& scratch);

}  // namespace slora::bench
