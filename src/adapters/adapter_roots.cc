#include "adapters/adapter_roots.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
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

// A mount point as mountinfo writes it, with octal escapes for white space.
fs::path unescape_mount(std::string_view text) {
  std::string path;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    const std::string_view digits = text.substr(i + 1, 3);
    const bool is_escape =
        text[i] == '\\' && digits.size() == 3 && std::from_chars(digits.begin(), digits.end(), code, 8).ptr == digits.end();
    path += is_escape ? static_cast<char>(code) : text[i];
    if (is_escape) i += 3;
  }
  return path;
}

// The deepest mount point that the path lies beneath; the root's where none is known.
fs::path mount_of(const fs::path& path, std::string_view mounts) {
  fs::path deepest = "/";
  for (std::size_t begin = 0, end = 0; begin < mounts.size(); begin = end + 1) {
    end = std::min(mounts.find('\n', begin), mounts.size());
    std::string_view line = mounts.substr(begin, end - begin);
    for (int field = 1; field < 5; ++field) {  // the place is the fifth
      const std::size_t space = line.find(' ');
      line = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
    }
    const fs::path mount = unescape_mount(line.substr(0, line.find(' ')));
    const bool is_deeper = mount.native().size() > deepest.native().size();
    if (is_deeper && path_beneath(mount, path)) deepest = mount;
  }
  return deepest;
}

tl::unexpected<Error> refuse_path() {
  return error("not_permitted", "the path leads out of the folders that the server was given as --adapters");
}

// nullopt when there is no such folder.
Result<std::optional<FolderPath>> find_beneath(const fs::path& given_root, const fs::path& asked, const FolderSource& folders) {
  const fs::path root = absolute_path(given_root);
  const fs::path path = absolute_path(asked.is_absolute() ? asked : root / asked);
  std::error_code failed;
  std::optional<std::string> rest = path_beneath(root, path);
  if (const fs::path real = fs::canonical(root, failed); !rest && !failed) rest = path_beneath(real, path);
  if (!rest) return refuse_path();
  FolderPath found = FolderPath::beneath(root.string(), *rest);
  const Result<Folder> folder = folders.open(found);
  const Status links = folder ? check_links(*folder) : Status(tl::unexpected(folder.error()));
  if (links) return std::optional(std::move(found));
  if (links.error().code == "E_LINK") return refuse_path();
  if (links.error().code == "E_NO_FOLDER") return std::optional<FolderPath>();
  return tl::unexpected(links.error());
}

}  // namespace

Result<std::vector<FolderPath>> adapter_folders_of(const std::string& root, const FolderSource& source) {
  const std::string top = absolute_path(root).string();
  const Result<Folder> opened = source.open(FolderPath(top));
  if (!opened) return error("bad_folder", "{}: {}", root, opened.error().message);
  // Weights of another program without a config, such as a GGUF file of a base, may lie next to folders of adapters.
  const bool is_adapter = is_adapter_folder(*opened);
  const bool names_itself = opened->exists(kPeftConfig) || find_adapter_files(*opened).form == AdapterForm::peft;
  if (is_adapter && names_itself) return std::vector{FolderPath(top)};
  const Result<std::vector<std::string>> names = opened->entries(kEntriesMax);
  if (!names) return error("bad_folder", "{}: {}", root, names.error().message);
  std::vector<FolderPath> folders;
  for (const std::string& name : *names) {
    FolderPath path = FolderPath::beneath(top, name);
    const Result<Folder> folder = source.open(path);
    if (folder ? is_adapter_folder(*folder) : folder.error().code == "E_LINK") folders.push_back(std::move(path));
  }
  if (folders.empty() && is_adapter) folders.emplace_back(top);
  return folders;
}

std::uint64_t lane_of_path(std::span<const std::string> roots, std::string_view path, std::string_view mounts) {
  const fs::path asked(path);
  for (const std::string& root : roots) {
    const fs::path top = absolute_path(root);
    const fs::path whole = absolute_path(asked.is_absolute() ? asked : top / asked);
    if (!path_beneath(top, whole)) continue;
    return std::hash<std::string>()(top.native() + '\0' + mount_of(whole, mounts).native());
  }
  return 0;
}

std::string system_mounts() {
  std::ifstream file("/proc/self/mountinfo");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Result<FolderPath> find_adapter_folder(std::span<const std::string> roots, std::string_view path, const FolderSource& folders) {
  if (roots.empty()) return error("not_permitted", "the server was started without --adapters, so no path may be named");
  constexpr std::size_t bytes_max = 4096;  // as the system's PATH_MAX
  if (path.empty() || path.size() > bytes_max || path.find('\0') != std::string_view::npos) return refuse_path();
  std::optional<Error> refusal;
  bool may_be_there = false;
  for (const std::string& root : roots) {
    Result<std::optional<FolderPath>> found = find_beneath(root, path, folders);
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
