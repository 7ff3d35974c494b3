#pragma once
#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/foreign_adapter.h"
#include "base/gate.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/folder.h"
#include "formats/module_table.h"
#include "formats/safetensors.h"

namespace slora {

// Metadata of the files of an adapter folder: tells whether they changed, without reading them.
struct FolderStamp {
  FileStamp config, weights;
  std::uint64_t texts = 0;  // of the stamps of the files that say how text becomes tokens
  auto operator<=>(const FolderStamp&) const = default;
};

// Names of files, and of a folder, that say how an adapter's text becomes tokens.
[[nodiscard]] std::span<const std::string_view> text_files_of_adapters();

// Missing files have a stamp too, which changes when they appear. E_READ.
[[nodiscard]] Result<FolderStamp> stamp_of(const Folder& folder);

// Folders of different lanes hang apart from each other: they are beneath different roots or on different devices.
[[nodiscard]] std::uint64_t lane_of(const FolderPath& path, const FolderStamp& stamp);

// An adapter's folder: its config, and its weight file opened with the header checked. No weight has been read of a PEFT folder. An adapter
// of another form is in memory in PEFT's, for as long as this lives.
struct AdapterFolder {
  Folder folder;
  AdapterConfig config;
  SafetensorsFile weights;
  std::string converted_config;  // in PEFT's form, where the folder has another one

  // The bytes of adapter_config.json.
  [[nodiscard]] Result<std::string> config_text() const;
};

// `base`, which may be null, `contents` and `gate`, which is passed as numbers are read, are for other forms than PEFT's: the order of some
// of their numbers depends on the base.
// E_NO_CONFIG, E_PICKLE, E_FOREIGN, E_UNSUPPORTED_OPTION, E_SAFETENSORS, E_TOO_LARGE, and the errors of Folder and of the files' readers.
[[nodiscard]] Result<AdapterFolder> open_adapter_folder(Folder folder, const ModuleTable* base = nullptr,
                                                        FileContents contents = FileContents::header, Gate* gate = nullptr);

// The quick check at registration, when thousands may be registered in a row: reads the config and the length of the header only.
[[nodiscard]] Result<AdapterConfig> peek_adapter_config(const Folder& folder);

// Whether the folder holds any adapter file, servable or not.
[[nodiscard]] bool is_adapter_folder(const Folder& folder);
// Whether it holds a config and weights, so that a copy into it is probably finished.
[[nodiscard]] bool is_complete_adapter_folder(const Folder& folder);
// E_LINK if one of its adapter files is a link that leads out of the folder's root.
[[nodiscard]] Status check_links(const Folder& folder);

}  // namespace slora
