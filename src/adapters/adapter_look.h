#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "adapters/adapter_image.h"
#include "adapters/folder_source.h"
#include "base/result.h"

namespace slora {

// What a look at an adapter's folder found: the same files as before, others, or that they cannot be read now.
struct UnchangedFolder {};
struct ChangedFolder {
  FolderStamp stamp;
  Result<ImageSize> size;  // of its image, or why it is refused until its files change
  std::string base_model_name;
  std::int64_t rank = 0;
  AdapterTraits traits;
  std::vector<std::string> warnings;
  bool is_incomplete = false;  // its config or its weights are missing
};
using AdapterLook = std::variant<UnchangedFolder, ChangedFolder, Error>;

// Compares the folder's files with `known`, and reads config and header where they differ. The error may pass: the folder is away, the
// disk fails, or someone is writing.
[[nodiscard]] AdapterLook look_at(const FolderSource& folders, const FolderPath& path, const std::optional<FolderStamp>& known,
                                  const AdapterBase& base);

// The stamp of what the path leads to now; E_NO_FOLDER or E_READ. A path that is refused for its links has the stamp of an empty folder.
[[nodiscard]] Result<FolderStamp> current_stamp(const FolderSource& folders, const FolderPath& path);

// Whether the error may pass without a change of the folder's files: no reason to refuse the adapter for good.
[[nodiscard]] bool is_transient(const Error& why);

// The answer to requests that name the adapter: "adapter_unavailable" for an error that may pass, unless someone is writing (E_CHANGED).
[[nodiscard]] Error adapter_unavailable(std::string_view name, const Error& why);
[[nodiscard]] Error adapter_refused(std::string_view name, const Error& why);

}  // namespace slora
