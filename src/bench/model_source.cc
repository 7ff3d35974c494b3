#include "bench/model_source.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <system_error>
#include <vector>

#include "bench/named_shapes.h"
#include "formats/gguf_names.h"
#include "formats/json.h"

namespace slora::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kConfigBytesMax = std::size_t{1} << 20;

bool has_weights(const fs::path& folder) {
  std::error_code failure;
  return std::ranges::any_of(fs::directory_iterator(folder, failure),
                             [](const fs::directory_entry& entry) { return entry.path().extension() == ".safetensors"; });
}

Result<ModelSource> write_shape(const std::string& name, std::string_view config, const fs::path& scratch) {
  const fs::path folder = scratch / "model";
  std::error_code failure;
  fs::create_directories(folder, failure);
  std::ofstream file(folder / "config.json", std::ios::binary | std::ios::trunc);
  file << config;
  file.close();
  if (!file) return error("E_WRITE", "{}: config.json can't be written", folder.string());
  return ModelSource{name, folder, WeightSource::random};
}

}  // namespace

Result<ModelSource> find_model(const std::string& model, const fs::path& scratch) {
  std::vector<std::string_view> names;
  for (const NamedShape& shape : named_shapes()) {
    if (shape.name == model) return write_shape(model, shape.config, scratch);
    names.push_back(shape.name);
  }
  std::error_code failure;
  const fs::path path = fs::absolute(model, failure).lexically_normal();
  if (fs::is_regular_file(path, failure) && is_gguf_path(path.string()))
    return ModelSource{path.stem().string(), path, WeightSource::files};
  if (fs::is_regular_file(path, failure)) {
    const Result<std::string> config = read_text_file(path.string(), kConfigBytesMax);
    if (!config) return tl::unexpected(config.error());
    return write_shape(path.filename() == "config.json" ? path.parent_path().filename().string() : path.stem().string(), *config, scratch);
  }
  if (!fs::exists(path / "config.json", failure)) {
    return error(
        "no_model",
        "{} is neither a folder with a config.json, nor such a file or a GGUF file, nor one of the shapes that come with slora: {}", model,
        fmt::join(names, ", "));
  }
  const fs::path named = path.has_filename() ? path : path.parent_path();
  return ModelSource{named.filename().string(), path, has_weights(path) ? WeightSource::files : WeightSource::random};
}

}  // namespace slora::bench
