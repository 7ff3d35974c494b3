#include "formats/new_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "formats/file.h"

namespace slora {

Result<NewFile> NewFile::create(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor >= 0) return NewFile(std::string(file_name(path)), descriptor);
  if (errno == EEXIST) return error("E_EXISTS", "{}: expected a new file, found one", file_name(path));
  return error("E_WRITE", "{}: can't be created: {}", file_name(path), std::strerror(errno));
}

NewFile::~NewFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status NewFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return refuse();
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Status NewFile::append(std::string_view text) { return append(std::as_bytes(std::span(text))); }

Status NewFile::finish() {
  if (::fsync(descriptor_) != 0) return refuse();
  if (::close(std::exchange(descriptor_, -1)) != 0) return refuse();
  return {};
}

tl::unexpected<Error> NewFile::refuse() const { return error("E_WRITE", "{}: can't be written: {}", name_, std::strerror(errno)); }

}  // namespace slora
