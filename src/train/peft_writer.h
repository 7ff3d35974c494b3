#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/module_table.h"
#include "train/adapter_masters.h"

namespace slora {

// What an adapter's README says of it.
struct AdapterCard {
  std::string base_model;                                  // as it was given
  std::vector<std::pair<std::string, std::string>> facts;  // of how it was trained, in this order
};

// Writes the files of a PEFT adapter into a folder that exists: adapter_config.json, README.md and last adapter_model.safetensors. Each
// appears complete, in place of one that was there. E_WRITE.
[[nodiscard]] Status write_peft_files(const std::string& folder, const AdapterMasters& masters, const ModuleTable& base,
                                      const AdapterCard& card);

}  // namespace slora
