#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// What tells cheaply whether the two files of an adapter folder are still the ones that were read.
struct FolderStamp {
  struct File {
    std::uint64_t device = 0, inode = 0, bytes = 0;
    std::int64_t modified_ns = 0, changed_ns = 0;  // changed: moves even when the other is set back by hand
    auto operator<=>(const File&) const = default;
  };
  File config, weights;  // all zero for a file that is not there
  auto operator<=>(const FolderStamp&) const = default;
};

// Follows links. Missing files have a stamp too: they may come.
[[nodiscard]] FolderStamp stamp_of(const std::string& folder);

// A PEFT folder whose config was read and whose weights are open behind a checked header. No weight has been read.
struct AdapterFolder {
  AdapterConfig config;
  SafetensorsFile weights;
};

// E_NO_CONFIG, E_PICKLE, E_UNSUPPORTED_OPTION, E_SAFETENSORS and what the readers of the two files say.
[[nodiscard]] Result<AdapterFolder> open_adapter_folder(const std::string& folder);

// The quick look of a registration, of thousands one after the other: reads the config and the length of the header.
[[nodiscard]] Result<AdapterConfig> glance_at_adapter_folder(const std::string& folder);

// Whether the folder holds any file that makes it an adapter, servable or not.
[[nodiscard]] bool is_adapter_folder(const std::string& folder);
// Whether it holds all that such a folder needs, so that nothing of it is still to come.
[[nodiscard]] bool is_complete_adapter_folder(const std::string& folder);
// The paths of those files that it holds.
[[nodiscard]] std::vector<std::string> adapter_files_of(const std::string& folder);

}  // namespace slora
