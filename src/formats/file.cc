#include "formats/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/checked.h"

namespace slora {
namespace {

// The most that Linux reads in one call.
constexpr std::size_t kReadBytesMax = std::size_t{1} << 30;

std::string reason(int code) { return std::generic_category().message(code); }

}  // namespace

std::string_view file_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

Result<ReadOnlyFile> ReadOnlyFile::open(const std::string& path) {
  return open_in(AT_FDCWD, path, std::string(file_name(path)), Links::followed);
}

Result<ReadOnlyFile> ReadOnlyFile::open_in(int folder, const std::string& path, std::string name, Links links) {
  // Without O_NONBLOCK, opening a pipe would block until it has a writer.
  const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (links == Links::refused ? O_NOFOLLOW : 0);
  const int descriptor = openat(folder, path.c_str(), flags);
  if (descriptor < 0) {
    const int code = errno;
    if (code == ENOENT || code == ENOTDIR) return error("E_NO_FILE", "{}: there is no such file", name);
    if (code == ENXIO) return error("E_FILE_TYPE", "{}: expected a regular file, found something else", name);  // a socket
    return error("E_READ", "{}: can't be opened: {}", name, reason(code));
  }
  return of_descriptor(std::move(name), descriptor);
}

Result<ReadOnlyFile> ReadOnlyFile::of_descriptor(std::string name, int descriptor) {
  ReadOnlyFile file(std::move(name), descriptor, 0);
  struct stat status {};
  if (fstat(descriptor, &status) != 0) return error("E_READ", "{}: {}", file.name_, reason(errno));
  if (!S_ISREG(status.st_mode)) return error("E_FILE_TYPE", "{}: expected a regular file, found something else", file.name_);
  file.bytes_ = static_cast<std::uint64_t>(status.st_size);
  return file;
}

ReadOnlyFile& ReadOnlyFile::operator=(ReadOnlyFile&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

ReadOnlyFile::~ReadOnlyFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status ReadOnlyFile::read_at(std::span<std::byte> out, std::uint64_t offset) const {
  std::optional<std::int64_t> at = checked_cast<std::int64_t>(offset);
  if (!at || !checked_add(*at, static_cast<std::int64_t>(out.size())))
    return error("E_READ", "{}: no file reaches to byte {}", name_, offset);
  while (!out.empty()) {
    const ssize_t got = pread(descriptor_, out.data(), std::min(out.size(), kReadBytesMax), *at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error("E_READ", "{}: reading at byte {} failed: {}", name_, *at, reason(errno));
    if (got == 0) {
      return error("E_READ", "{}: expected {} more bytes at byte {}, found the end; it has changed since it was opened", name_, out.size(),
                   *at);
    }
    out = out.subspan(static_cast<std::size_t>(got));
    *at += got;
  }
  return {};
}

}  // namespace slora
