#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"
#include "formats/file.h"

namespace slora {

// A file that lies in memory and in no folder: written from its begin to its end, then read as any other. Its bytes count as memory of the
// process, and are freed with the last file that reads them. Move-only; one thread writes it.
class MemoryFile {
 public:
  // `name` is what messages call it. E_READ where the system has no memory for it: it may have some later.
  static Result<MemoryFile> create(std::string name);

  MemoryFile(MemoryFile&& other) noexcept : name_(std::move(other.name_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  MemoryFile& operator=(MemoryFile&&) = delete;
  ~MemoryFile();

  // E_READ
  [[nodiscard]] Status append(std::span<const std::byte> bytes);
  // Lets it end in zeros, which take no memory. E_READ. Requires: it is not longer than that.
  [[nodiscard]] Status extend_to(std::uint64_t bytes);
  // The file, for reading. E_READ
  [[nodiscard]] Result<ReadOnlyFile> finish() &&;

 private:
  MemoryFile(std::string name, int descriptor) : name_(std::move(name)), descriptor_(descriptor) {}

  std::string name_;
  int descriptor_;
};

}  // namespace slora
