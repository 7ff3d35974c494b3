#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/module_table.h"

namespace slora {

struct ConversionOptions {
  std::string folder;                   // an adapter of another form, or with pickled weights
  std::string out;                      // a folder that does not exist yet
  const ModuleTable* base = nullptr;    // of the base model, where the order of numbers depends on it
  std::optional<double> rope_factor{};  // by which LongLoRA divides positions
};

struct Conversion {
  std::size_t tensor_count = 0;
  std::uint64_t file_bytes = 0;     // of adapter_model.safetensors
  std::vector<std::string> copied;  // files of the tokenizer and the like
};

// Makes a PEFT folder of an adapter: its numbers bit by bit, the files that say how text becomes tokens as they are. The folder appears
// complete, or not at all. E_EXISTS, E_WRITE, E_FOREIGN where there is nothing to convert, E_PICKLE, E_ZIP,
// E_ROPE, E_NO_BASE, and the errors of the forms' readers.
[[nodiscard]] Result<Conversion> convert_adapter(const ConversionOptions& options);

}  // namespace slora
