#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/folder.h"

namespace slora {

// Whose form an adapter's files have that are read when it is loaded.
enum class AdapterForm : std::uint8_t { peft, mlx, torchtune, gguf };

// The files of a folder that an adapter is read from, which may be missing.
struct AdapterFiles {
  AdapterForm form = AdapterForm::peft;
  std::string config;   // its name; of GGUF the weights', which have it in them
  std::string weights;  // its name
};

// By the names of files. PEFT's come first, and are what is expected of a folder that has none.
[[nodiscard]] AdapterFiles find_adapter_files(const Folder& folder);

// Names of the folder's GGUF files, at most two.
[[nodiscard]] std::vector<std::string> gguf_files_of(const Folder& folder);

// The pickled file that holds weights, or part of them, and is not read when an adapter is loaded; empty if there is none.
[[nodiscard]] std::string_view find_pickle(const Folder& folder);

inline constexpr std::string_view kPeftConfig = "adapter_config.json";
inline constexpr std::string_view kPeftWeights = "adapter_model.safetensors";
// What LongLoRA trains besides LoRA.
inline constexpr std::string_view kLongLoraWeights = "trainable_params.bin";

}  // namespace slora
