#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/folder.h"
#include "formats/safetensors.h"

namespace slora {

// Metadata of the files of an adapter folder: tells whether they changed, without reading them.
struct FolderStamp {
  FileStamp config, weights;
  std::uint64_t texts = 0;  // of the stamps of the files that say how text becomes tokens
  auto operator<=>(const FolderStamp&) const = default;
};

// Missing files have a stamp too, which changes when they appear. E_READ.
[[nodiscard]] Result<FolderStamp> stamp_of(const Folder& folder);

// Folders of different lanes hang apart from each other: they are beneath different roots or on different devices.
[[nodiscard]] std::uint64_t lane_of(const FolderPath& path, const FolderStamp& stamp);

// A PEFT folder: its config, and its weight file opened with the header checked. No weight has been read.
struct AdapterFolder {
  Folder folder;
  AdapterConfig config;
  SafetensorsFile weights;
};

// E_NO_CONFIG, E_PICKLE, E_UNSUPPORTED_OPTION, E_SAFETENSORS, and the errors of Folder and of the readers of the two files.
[[nodiscard]] Result<AdapterFolder> open_adapter_folder(Folder folder);

// The quick check at registration, when thousands may be registered in a row: reads the config and the length of the header only.
[[nodiscard]] Result<AdapterConfig> peek_adapter_config(const Folder& folder);

// Whether the folder holds any adapter file, servable or not.
[[nodiscard]] bool is_adapter_folder(const Folder& folder);
// Whether it holds a config and weights, so that a copy into it is probably finished.
[[nodiscard]] bool is_complete_adapter_folder(const Folder& folder);
// E_LINK if one of its adapter files is a link that leads out of the folder's root.
[[nodiscard]] Status check_links(const Folder& folder);

}  // namespace slora
