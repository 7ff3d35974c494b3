#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/file.h"

namespace slora {

// Where a folder is, and where its links may lead.
struct FolderPath {
  // A path that the operator named: links are followed wherever they lead.
  FolderPath(std::string named = {}) : path(std::move(named)) {}  // NOLINT(google-explicit-constructor): the rule for all plain paths
  // A folder beneath `root_path`, found there or named by a client: no link out of the root is followed. `beneath` is relative to it.
  static FolderPath beneath(std::string root_path, std::string_view beneath);

  bool operator==(const FolderPath&) const = default;

  std::string path;
  std::string root;  // the beginning of `path`; empty: the operator named the path itself
};

// Metadata of a file: tells whether it changed, without reading it. All zero for a missing file.
struct FileStamp {
  std::uint64_t device = 0, inode = 0, bytes = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;  // changed: ctime, which no program can set back
  auto operator<=>(const FileStamp&) const = default;
};

// An open folder of files, and the one place where links of adapters' folders are followed. Beneath a root, paths are resolved as
// openat2(2) does with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS, one component after the other, so that every kernel has the same rule and
// no change of the folders meanwhile leads out; but an absolute link to a place beneath the root is followed too. Holds descriptors: open
// it when files are needed. Move-only; any thread.
class Folder {
 public:
  // E_NO_FOLDER if there is none, E_LINK if a link leads out of the root, E_READ if the system refuses.
  static Result<Folder> open(const FolderPath& path);

  // E_NO_FILE, E_LINK, E_READ, or E_FILE_TYPE if it is no regular file; pipes and devices are not opened.
  [[nodiscard]] Result<ReadOnlyFile> open_file(std::string_view name) const;
  // Whether there is anything of this name, also if it cannot be opened.
  [[nodiscard]] bool exists(std::string_view name) const;
  // E_READ. A link out of the root has a stamp of its own.
  [[nodiscard]] Result<FileStamp> stamp(std::string_view name) const;
  // Names of its entries, sorted, at most `count_max`; E_READ.
  [[nodiscard]] Result<std::vector<std::string>> entries(std::size_t count_max) const;

 private:
  // Owns a file descriptor.
  class Descriptor {
   public:
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
      std::swap(number_, other.number_);
      return *this;
    }
    ~Descriptor();
    [[nodiscard]] int number() const { return number_; }

   private:
    int number_;
  };
  class Walk;
  struct Target;

  Folder(std::string root, std::vector<Descriptor> chain) : root_(std::move(root)), chain_(std::move(chain)) {}

  // What `name` means, with links followed; or why it means nothing.
  [[nodiscard]] Result<Target> find(Walk& walk, std::string_view name) const;

  std::string root_;               // empty: links are followed wherever they lead
  std::vector<Descriptor> chain_;  // from the root to the folder, one for each level; the folder alone without a root
};

}  // namespace slora
