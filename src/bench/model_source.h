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

// A folder with weights; a folder with a config.json alone, or such a file, whose weights are to be drawn; or the name of a shape that
// comes with the program. Shapes and files are copied below `scratch`.
[[nodiscard]] Result<ModelSource> find_model(const std::string& model, const std::filesystem::path& scratch);

}  // namespace slora::bench
