#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slora {

// A root is a folder that the operator gave for adapters (--adapters): a folder of adapter folders, or one itself.

// The adapter folders of `root` as absolute paths, sorted; "bad_folder" when it can't be listed. Each is served under the
// last component of its path.
[[nodiscard]] Result<std::vector<std::string>> adapter_folders_of(const std::string& root);

// The folder that a client means by `path`: below a root, relative to it or absolute, with all links followed. "not_found", or
// "not_permitted" for any path elsewhere, whether it exists or not, and where a link of the folder or of its files leads out of the root.
// Not safe against a process that changes links below a root during the call: write access to a root is trusted.
[[nodiscard]] Result<std::string> find_adapter_folder(std::span<const std::string> roots, std::string_view path);

}  // namespace slora
