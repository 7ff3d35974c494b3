#include "formats/pooling_config.h"

#include <nlohmann/json.hpp>

#include "formats/gguf_model.h"
#include "formats/json.h"

namespace slora {

namespace {

// Of embedding models only; the numbers are llama.cpp's.
Result<Pooling> pooling_of_gguf(const std::string& path) {
  constexpr std::int64_t kMean = 1, kLast = 3;
  const Result<GgufModel> model = open_gguf_model(path);
  if (!model) return tl::unexpected(model.error());
  const auto* const type = model->head().find_as<std::int64_t>(fmt::format("{}.pooling_type", model->architecture->name));
  if (type == nullptr || *type == kLast) return Pooling::last;
  return *type == kMean ? Pooling::mean : Pooling::none;
}

}  // namespace

// One flag for each way, of which exactly one is set; newer versions of the library write the way's name instead.
Result<Pooling> read_pooling_config(const std::string& folder) {
  if (is_gguf_path(folder)) return pooling_of_gguf(folder);
  const std::string file = folder + "/1_Pooling/config.json";
  Result<Json> config = read_json_file(file, {.bytes_max = std::size_t{1} << 16});
  if (!config && config.error().code == "E_NO_FILE") return Pooling::last;
  if (!config) return forward_error(config);
  if (!config->is_object()) return error("E_BAD_JSON", "{}: expected an object, found {}", file, type_name(*config));
  Json found = Json::array();
  for (const auto& [name, value] : config->items()) {
    if (!name.starts_with("pooling_mode")) continue;
    if (name == "pooling_mode") {
      found.push_back(value);
    } else if (!value.is_boolean()) {
      return error("E_BAD_JSON", "{}: \"{}\": expected true or false, found {}", file, name, shown(value));
    } else if (value.get<bool>()) {
      found.push_back(name);
    }
  }
  if (found == Json::array({"pooling_mode_lasttoken"}) || found == Json::array({"lasttoken"})) return Pooling::last;
  if (found == Json::array({"pooling_mode_mean_tokens"}) || found == Json::array({"mean"})) return Pooling::mean;
  return Pooling::none;
}

}  // namespace slora
