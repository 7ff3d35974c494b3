#include "formats/pooling_config.h"

#include <nlohmann/json.hpp>

#include "formats/json.h"

namespace slora {

// One flag for each way, of which exactly one is set; newer versions of the library write the way's name instead.
Result<Pooling> read_pooling_config(const std::string& folder) {
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
