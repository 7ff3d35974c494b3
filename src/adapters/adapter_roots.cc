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

constexpr std::size_t kEntriesMax = 1'000'000;  // of a root

// `path` relative to `root`, by their texts; nothing if it lies elsewhere. Requires: both are absolute_path()s.
std::optional<std::string> path_beneath(const fs::path& root, const fs::path& path) {
  if (std::ranges::mismatch(root, path).in1 != root.end()) return std::nullopt;
  return path.lexically_relative(root).string();
}

tl::unexpected<Error> refuse_path() {
  return error("not_permitted", "the path leads out of the folders that the server was given as --adapters");
}

// nullopt when there is no such folder.
Result<std::optional<FolderPath>> find_beneath(const fs::path& given_root, const fs::path& asked) {
  const fs::path root = absolute_path(given_root);
  const fs::path path = absolute_path(asked.is_absolute() ? asked : root / asked);
  std::error_code failed;
  std::optional<std::string> rest = path_beneath(root, path);
  if (const fs::path real = fs::canonical(root, failed); !rest && !failed) rest = path_beneath(real, path);
  if (!rest) return refuse_path();
  FolderPath found = FolderPath::beneath(root.string(), *rest);
  const Result<Folder> folder = Folder::open(found);
  const Status links = folder ? check_links(*folder) : Status(tl::unexpected(folder.error()));
  if (links) return std::optional(std::move(found));
  if (links.error().code == "E_LINK") return refuse_path();
  if (links.error().code == "E_NO_FOLDER") return std::optional<FolderPath>();
  return tl::unexpected(links.error());
}

}  // namespace

Result<std::vector<FolderPath>> adapter_folders_of(const std::string& root) {
  const std::string top = absolute_path(root).string();
  const Result<Folder> opened = Folder::open(top);
  if (!opened) return error("bad_folder", "{}: {}", root, opened.error().message);
  if (is_adapter_folder(*opened)) return std::vector{FolderPath(top)};
  const Result<std::vector<std::string>> names = opened->entries(kEntriesMax);
  if (!names) return error("bad_folder", "{}: {}", root, names.error().message);
  std::vector<FolderPath> folders;
  for (const std::string& name : *names) {
    FolderPath path = FolderPath::beneath(top, name);
    const Result<Folder> folder = Folder::open(path);
    if (folder ? is_adapter_folder(*folder) : folder.error().code == "E_LINK") folders.push_back(std::move(path));
  }
  return folders;
}

Result<FolderPath> find_adapter_folder(std::span<const std::string> roots, std::string_view path) {
  if (roots.empty()) return error("not_permitted", "the server was started without --adapters, so no path may be named");
  constexpr std::size_t bytes_max = 4096;  // as the system's PATH_MAX
  if (path.empty() || path.size() > bytes_max || path.find('\0') != std::string_view::npos) return refuse_path();
  std::optional<Error> refusal;
  bool may_be_there = false;
  for (const std::string& root : roots) {
    Result<std::optional<FolderPath>> found = find_beneath(root, path);
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
