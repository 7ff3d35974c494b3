#include "adapters/adapter_roots.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "adapters/adapter_folder.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

// "adapters/" as "/where/we/are/adapters".
fs::path absolute_path(const fs::path& path) {
  std::error_code ignored;  // the working folder was deleted: then nothing is found
  const fs::path absolute = fs::absolute(path, ignored).lexically_normal();
  return absolute.has_filename() ? absolute : absolute.parent_path();
}

// Requires: both are lexically normal.
bool is_beneath(const fs::path& root, const fs::path& path) { return std::ranges::mismatch(root, path).in1 == root.end(); }

tl::unexpected<Error> refuse_path() {
  return error("not_permitted", "the path leads out of the folders that the server was given as --adapters");
}

// nullopt when there is no such folder.
Result<std::optional<std::string>> find_beneath(const fs::path& given_root, const fs::path& asked) {
  std::error_code failed;
  const fs::path root = fs::canonical(given_root, failed);
  if (failed) return std::optional<std::string>();
  const fs::path path = absolute_path(asked.is_absolute() ? asked : root / asked);
  if (!is_beneath(root, path) && !is_beneath(absolute_path(given_root), path)) return refuse_path();
  const fs::path folder = fs::canonical(path, failed);
  if (failed) return std::optional<std::string>();
  if (!is_beneath(root, folder)) return refuse_path();
  for (const std::string& file : adapter_files_of(folder.string())) {
    const fs::path target = fs::canonical(file, failed);
    if (!failed && !is_beneath(root, target)) return refuse_path();
  }
  return std::optional(folder.string());
}

}  // namespace

Result<std::vector<std::string>> adapter_folders_of(const std::string& root) {
  const fs::path top = absolute_path(root);
  if (is_adapter_folder(top.string())) return std::vector{top.string()};
  std::error_code failed;
  std::vector<std::string> folders;
  for (fs::directory_iterator at(top, failed), end; !failed && at != end; at.increment(failed)) {
    if (is_adapter_folder(at->path().string())) folders.push_back(at->path().string());
  }
  if (failed) return error("bad_folder", "{}: can't be listed: {}", root, failed.message());
  std::ranges::sort(folders);
  return folders;
}

Result<std::string> find_adapter_folder(std::span<const std::string> roots, std::string_view path) {
  if (roots.empty()) return error("not_permitted", "the server was started without --adapters, so no path may be named");
  constexpr std::size_t bytes_max = 4096;  // as the system's PATH_MAX
  if (path.empty() || path.size() > bytes_max || path.find('\0') != std::string_view::npos) return refuse_path();
  std::optional<Error> refusal;
  bool may_be_there = false;
  for (const std::string& root : roots) {
    Result<std::optional<std::string>> found = find_beneath(root, path);
    if (!found) {
      refusal = found.error();
    } else if (*found) {
      return std::move(**found);
    } else {
      may_be_there = true;
    }
  }
  if (refusal && !may_be_there) return tl::unexpected(*refusal);
  return error("not_found", "there is no such folder beneath the server's --adapters");
}

}  // namespace slora
