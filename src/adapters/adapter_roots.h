#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slora {

// A root is a folder that the operator gave for adapters (--adapters): a folder of adapter folders, or one itself.

// The adapter folders of `root` as absolute paths, sorted; "bad_folder" when it can't be listed. The name that each is served under is
// its own last part.
[[nodiscard]] Result<std::vector<std::string>> adapter_folders_of(const std::string& root);

// The folder that a client means by `path`: beneath a root, relative to it or absolute, with all links followed. "not_found", or
// "not_permitted" for whatever lies elsewhere, whether it exists or not, and for what links lead out of the root, the adapter's files
// included. Who may write beneath a root is trusted not to race with this.
[[nodiscard]] Result<std::string> find_adapter_folder(std::span<const std::string> roots, std::string_view path);

}  // namespace slora
