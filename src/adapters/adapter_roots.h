#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/folder_source.h"
#include "base/result.h"
#include "formats/folder.h"

namespace slora {

// A root is a folder that the operator gave for adapters (--adapters): a folder of adapter folders, or one itself.

// The adapter folders of `root`, sorted; "bad_folder" when it can't be listed. Each is served under the last component of its path. A root
// that is an adapter folder itself is a path that the operator named; links in the others must stay beneath the root. What a link out of
// the root leads to may be an adapter or not, and is listed, to be refused by name.
[[nodiscard]] Result<std::vector<FolderPath>> adapter_folders_of(const std::string& root, const FolderSource& source = system_folders());

// The folder that a client means by `path`: below a root, relative to it or absolute, by the root's given name or without links.
// "not_found", or "not_permitted" for any path elsewhere, whether it exists or not, and where a link of the folder or of its adapter files
// leads out of the root.
[[nodiscard]] Result<FolderPath> find_adapter_folder(std::span<const std::string> roots, std::string_view path,
                                                     const FolderSource& folders = system_folders());

// Which reads of a path may hang together before anything of it is known: those beneath one root and on one mounted file system, by the
// texts alone. `mounts`: /proc/self/mountinfo. Opens nothing.
[[nodiscard]] std::uint64_t lane_of_path(std::span<const std::string> roots, std::string_view path, std::string_view mounts);
// The system's text of that form; empty where there is none.
[[nodiscard]] std::string system_mounts();

}  // namespace slora
