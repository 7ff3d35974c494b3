#include "formats/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

namespace slora {
namespace {

// Of one path, with those of its links.
constexpr int kLinksMax = 40;            // as Linux
constexpr std::size_t kFoldersMax = 64;  // each has a descriptor
constexpr std::size_t kComponentsMax = 512;

std::string text_of(int code) { return std::generic_category().message(code); }

tl::unexpected<Error> refuse_link(std::string_view name) {
  return error("E_LINK", "{}: a link leads out of the folder that the server was given as --adapters", name);
}

tl::unexpected<Error> no_file(std::string_view name) { return error("E_NO_FILE", "{}: there is no such file", name); }

// Why the system refused; E_NO_FILE where nothing is there.
tl::unexpected<Error> refuse_code(std::string_view name, int code) {
  if (code == ENOENT || code == ENOTDIR) return no_file(name);
  return error("E_READ", "{}: can't be opened: {}", name, text_of(code));
}

FileStamp stamp_of(const struct stat& status) {
  const auto nanoseconds = [](const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; };
  return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size), nanoseconds(status.st_mtim),
          nanoseconds(status.st_ctim)};
}

Result<std::string> read_link(int folder, const std::string& name) {
  std::string text(PATH_MAX, '\0');
  const ssize_t length = readlinkat(folder, name.c_str(), text.data(), text.size());
  if (length < 0) return refuse_code(name, errno);
  text.resize(static_cast<std::size_t>(length));
  return text;
}

// `path` relative to `root`; nothing if it lies elsewhere.
std::optional<std::string> relative_to(const std::filesystem::path& root, const std::filesystem::path& path) {
  const auto [in_root, in_path] = std::ranges::mismatch(root, path);
  if (in_root != root.end()) return std::nullopt;
  std::filesystem::path rest;
  for (auto at = in_path; at != path.end(); ++at) rest /= *at;
  return rest.string();
}

}  // namespace

FolderPath FolderPath::beneath(std::string root_path, std::string_view beneath) {
  FolderPath path(fmt::format("{}/{}", root_path, beneath));
  path.root = std::move(root_path);
  return path;
}

Folder::Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

// What a path leads to: `name` in `folder`, a descriptor that the walk or the caller keeps open. "." is the folder itself.
struct Folder::Target {
  int folder;
  std::string name;
  struct stat status;
};

// One resolution of a path beneath a root. Keeps the folders that it opens until its end.
class Folder::Walk {
 public:
  // Begins in the last of `levels`; the first is the root `root`, which is never left.
  Walk(const std::string& root, std::span<const Descriptor> levels) : root_(root) {
    for (const Descriptor& level : levels) levels_.push_back(level.number());
  }

  Result<Target> run(std::string_view path) {
    if (Status pushed = push(path, path); !pushed) return forward_error(pushed);
    while (!pending_.empty()) {
      const std::string name = std::move(pending_.back());
      pending_.pop_back();
      if (name == ".") continue;
      if (name == "..") {
        if (levels_.size() == 1) return refuse_link(path);
        levels_.pop_back();
        continue;
      }
      struct stat status {};
      if (fstatat(levels_.back(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return refuse_code(path, errno);
      if (S_ISLNK(status.st_mode)) {
        if (Status followed = follow(name, path); !followed) return forward_error(followed);
      } else if (pending_.empty() && !S_ISDIR(status.st_mode)) {
        return Target{levels_.back(), name, status};
      } else if (Status entered = enter(name, path); !entered) {
        return forward_error(entered);
      }
    }
    struct stat status {};
    if (fstat(levels_.back(), &status) != 0) return refuse_code(path, errno);
    return Target{levels_.back(), ".", status};
  }

  // The levels where the walk ended, without the root, as far as it opened them.
  std::vector<Descriptor> take_levels() {
    std::vector<Descriptor> taken;
    for (const int level : levels_) {
      const auto at = std::ranges::find(opened_, level, &Descriptor::number);
      if (at != opened_.end()) taken.push_back(std::move(*at));
    }
    return taken;
  }

 private:
  Status enter(const std::string& name, std::string_view path) {
    if (opened_.size() >= kFoldersMax) return error("E_LINK", "{}: expected at most {} folders on the way, found more", path, kFoldersMax);
    const int entered = openat(levels_.back(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (entered < 0) return refuse_code(path, errno);
    levels_.push_back(opened_.emplace_back(entered).number());
    return {};
  }

  Status push(std::string_view text, std::string_view path) {
    std::vector<std::string> components;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('/'), text.size());
      if (end > 0) components.emplace_back(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    if (pending_.size() + components.size() > kComponentsMax) {
      return error("E_LINK", "{}: expected at most {} parts of a path with its links, found more", path, kComponentsMax);
    }
    pending_.insert(pending_.end(), components.rbegin(), components.rend());
    return {};
  }

  Status follow(const std::string& name, std::string_view path) {
    if (++link_count_ > kLinksMax) return error("E_LINK", "{}: expected at most {} links, found more", path, kLinksMax);
    Result<std::string> text = read_link(levels_.back(), name);
    if (!text) return error(text.error().code, "{}: {}", path, text.error().message);
    if (!text->starts_with('/')) return push(*text, path);
    const std::optional<std::string> rest = beneath_root(*text);
    if (!rest) return refuse_link(path);
    levels_.resize(1);
    return push(*rest, path);
  }

  // An absolute path relative to the root, by the root's given name or by its name without links. Only texts are compared: the rest is
  // resolved beneath the root like every other path.
  [[nodiscard]] std::optional<std::string> beneath_root(const std::filesystem::path& path) const {
    std::error_code ignored;  // without these names, absolute links are refused
    const std::filesystem::path normal = path.lexically_normal();
    const std::filesystem::path given = std::filesystem::absolute(root_, ignored).lexically_normal();
    if (std::optional<std::string> rest = relative_to(given.has_filename() ? given : given.parent_path(), normal)) return rest;
    return relative_to(std::filesystem::canonical(root_, ignored), normal);
  }

  const std::string& root_;
  std::vector<int> levels_;           // descriptors of the folders from the root to where the walk is
  std::vector<Descriptor> opened_;    // those of the levels that the walk opened, and of levels that it left
  std::vector<std::string> pending_;  // parts of the path, the next one last
  int link_count_ = 0;
};

Result<Folder> Folder::open(const FolderPath& path) {
  const std::string& top = path.root.empty() ? path.path : path.root;
  const std::string name(file_name(path.path));
  const auto refuse = [&](int code) -> tl::unexpected<Error> {
    if (code == ENOENT || code == ENOTDIR) return error("E_NO_FOLDER", "expected a folder, found none");
    return error("E_READ", "the folder can't be opened: {}", text_of(code));
  };
  const int opened = ::open(top.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return refuse(errno);
  std::vector<Descriptor> chain;
  chain.emplace_back(opened);
  if (path.root.empty()) return Folder({}, std::move(chain));

  const std::optional<std::string> beneath = relative_to(path.root, path.path);
  if (!beneath) return refuse_link(name);
  Walk walk(path.root, chain);
  const Result<Target> target = walk.run(*beneath);
  if (!target && target.error().code == "E_NO_FILE") return refuse(ENOENT);
  if (!target) return tl::unexpected(target.error());
  if (!S_ISDIR(target->status.st_mode)) return refuse(ENOTDIR);
  for (Descriptor& level : walk.take_levels()) chain.push_back(std::move(level));
  return Folder(path.root, std::move(chain));
}

Result<Folder::Target> Folder::find(Walk& walk, std::string_view name) const {
  if (!root_.empty()) return walk.run(name);
  Target target{chain_.back().number(), std::string(name), {}};
  if (fstatat(target.folder, target.name.c_str(), &target.status, 0) != 0) return refuse_code(name, errno);
  return target;
}

Result<ReadOnlyFile> Folder::open_file(std::string_view name) const {
  Walk walk(root_, chain_);
  const Result<Target> target = find(walk, name);
  if (!target) return tl::unexpected(target.error());
  if (!S_ISREG(target->status.st_mode)) return error("E_FILE_TYPE", "{}: expected a regular file, found something else", name);
  return ReadOnlyFile::open_in(target->folder, target->name, std::string(name), root_.empty() ? Links::followed : Links::refused);
}

bool Folder::exists(std::string_view name) const {
  Walk walk(root_, chain_);
  const Result<Target> target = find(walk, name);
  return target || target.error().code != "E_NO_FILE";
}

Result<FileStamp> Folder::stamp(std::string_view name) const {
  Walk walk(root_, chain_);
  const Result<Target> target = find(walk, name);
  if (target) return stamp_of(target->status);
  if (target.error().code == "E_NO_FILE") return FileStamp{};
  struct stat link {};
  const bool is_link = target.error().code == "E_LINK";
  if (is_link && fstatat(chain_.back().number(), std::string(name).c_str(), &link, AT_SYMLINK_NOFOLLOW) == 0) return stamp_of(link);
  return tl::unexpected(target.error());
}

Result<std::vector<std::string>> Folder::entries(std::size_t count_max) const {
  const int listed = openat(chain_.back().number(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (listed < 0) return error("E_READ", "the folder can't be listed: {}", text_of(errno));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(listed), closedir);
  if (!entries) {
    const Descriptor unused(listed);
    return error("E_READ", "the folder can't be listed: {}", text_of(errno));
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(entries.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    if (names.size() > count_max) return error("E_READ", "expected at most {} entries in the folder, found more", count_max);
    errno = 0;
  }
  if (errno != 0) return error("E_READ", "the folder can't be listed: {}", text_of(errno));
  std::ranges::sort(names);
  return names;
}

}  // namespace slora
