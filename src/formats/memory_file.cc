#include "formats/memory_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace slora {
namespace {

tl::unexpected<Error> refuse_memory(const std::string& name, int code) {
  return error("E_READ", "{}: there is no memory to convert it: {}", name, std::generic_category().message(code));
}

}  // namespace

Result<MemoryFile> MemoryFile::create(std::string name) {
  const int descriptor = memfd_create("slora", MFD_CLOEXEC);
  if (descriptor < 0) return refuse_memory(name, errno);
  return MemoryFile(std::move(name), descriptor);
}

MemoryFile::~MemoryFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status MemoryFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return refuse_memory(name_, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Status MemoryFile::extend_to(std::uint64_t bytes) {
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) return refuse_memory(name_, errno);
  return {};
}

Result<ReadOnlyFile> MemoryFile::finish() && { return ReadOnlyFile::of_descriptor(std::move(name_), std::exchange(descriptor_, -1)); }

}  // namespace slora
