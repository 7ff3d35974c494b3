#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// Metadata of the two files of an adapter folder: tells whether they changed, without reading them.
struct FolderStamp {
  struct File {
    std::uint64_t device = 0, inode = 0, bytes = 0;
    std::int64_t modified_ns = 0, changed_ns = 0;  // changed: ctime, which no program can set back
    auto operator<=>(const File&) const = default;
  };
  File config, weights;  // all zero for a missing file
  auto operator<=>(const FolderStamp&) const = default;
};

// Follows links. Missing files have a stamp too, which changes when they appear.
[[nodiscard]] FolderStamp stamp_of(const std::string& folder);

// A PEFT folder: its config, and its weight file opened with the header checked. No weight has been read.
struct AdapterFolder {
  AdapterConfig config;
  SafetensorsFile weights;
};

// E_NO_CONFIG, E_PICKLE, E_UNSUPPORTED_OPTION, E_SAFETENSORS, and the errors of the readers of the two files.
[[nodiscard]] Result<AdapterFolder> open_adapter_folder(const std::string& folder);

// The quick check at registration, when thousands may be registered in a row: reads the config and the length of the header only.
[[nodiscard]] Result<AdapterConfig> peek_adapter_config(const std::string& folder);

// Whether the folder holds any adapter file, servable or not.
[[nodiscard]] bool is_adapter_folder(const std::string& folder);
// Whether it holds a config and weights, so that a copy into it is probably finished.
[[nodiscard]] bool is_complete_adapter_folder(const std::string& folder);
// The paths of the adapter files that it holds.
[[nodiscard]] std::vector<std::string> adapter_files_of(const std::string& folder);

}  // namespace slora
