#include "formats/new_folder.h"

#include <fcntl.h>
#include <stdio.h>  // renameat2
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "formats/json.h"

namespace slora {
namespace {

constexpr int kTriesMax = 100;

tl::unexpected<Error> refuse_existing(const std::string& path) {
  return error("E_EXISTS", "{}: expected nothing there, found a file, a folder or a link", quote(path));
}

bool is_anything(const std::string& path) {
  struct stat found {};
  return ::lstat(path.c_str(), &found) == 0;
}

// Of what was written into a folder, so that it is there after a failure of the power too.
Status sync_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int why = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (synced || why == EINVAL) return {};  // EINVAL: this file system has no such call for folders
  return error("E_WRITE", "{}: can't be written: {}", quote(path), std::strerror(why));
}

// Not every file system can refuse to replace; where one can't, an empty folder that appears in this very moment is replaced.
int rename_to_nothing(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return -1;
  if (!is_anything(to)) return ::rename(from.c_str(), to.c_str());
  errno = EEXIST;
  return -1;
}

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

Result<NewFolder> NewFolder::create(const std::string& path) {
  const std::string target = without_slashes(path);
  if (target.empty()) return error("E_WRITE", "expected the path of a new folder, found an empty one");
  if (is_anything(target)) return refuse_existing(target);
  const std::filesystem::path name = std::filesystem::path(target).filename();
  const std::filesystem::path parent = std::filesystem::path(target).parent_path();
  for (int attempt = 0; attempt < kTriesMax; ++attempt) {
    const std::string unfinished = (parent / fmt::format(".{}.{}-{}.unfinished", name.string(), ::getpid(), attempt)).string();
    if (::mkdir(unfinished.c_str(), 0777) == 0) return NewFolder(target, unfinished);
    if (errno != EEXIST) return error("E_WRITE", "{}: no folder can be made there: {}", quote(target), std::strerror(errno));
  }
  return error("E_WRITE", "{}: expected a free name next to it, found {} that are taken", quote(target), kTriesMax);
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!unfinished_.empty()) std::filesystem::remove_all(unfinished_, ignored);
}

Status NewFolder::publish() {
  if (Status synced = sync_folder(unfinished_); !synced) return synced;
  if (rename_to_nothing(unfinished_, path_) != 0) {
    if (errno == EEXIST || errno == ENOTEMPTY) return refuse_existing(path_);
    return error("E_WRITE", "{}: can't be written: {}", quote(path_), std::strerror(errno));
  }
  unfinished_.clear();
  const std::filesystem::path parent = std::filesystem::path(path_).parent_path();
  return sync_folder(parent.empty() ? "." : parent.string());
}

}  // namespace slora
