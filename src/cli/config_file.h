#pragma once
#include <string>
#include <vector>

#include "base/result.h"

namespace slora {

// What a file of options says of one of them.
struct ConfigEntry {
  std::string key;                  // as it stands in the file
  int line = 0;                     // from 1
  std::vector<std::string> values;  // as they would stand on the command line; none: an empty list
  bool is_switch = false;           // the value is true or false, without quotes: given alone, the option may need no value
};

// The option that a key names: "--max-model-len" for max_model_len.
[[nodiscard]] std::string option_of(const ConfigEntry& entry);

// Reads a YAML file of options, and JSON, which is a form of YAML: an object whose keys are options without their dashes. Lists are
// options that are repeated, and objects in lists become JSON. Errors ("bad_config") name the file, the line and the key.
[[nodiscard]] Result<std::vector<ConfigEntry>> read_config_file(const std::string& path);
// The same from text; `path` is for errors.
[[nodiscard]] Result<std::vector<ConfigEntry>> parse_config(const std::string& text, const std::string& path);

}  // namespace slora
