#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace slora {

// A file that is written from its beginning to its end, and is on the disk when finish() returned without an error. Move-only; one thread.
class NewFile {
 public:
  // E_EXISTS if there is anything at the path, E_WRITE if the system refuses.
  static Result<NewFile> create(const std::string& path);

  NewFile(NewFile&& other) noexcept : name_(std::move(other.name_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  // E_WRITE with the system's reason, such as a full disk.
  [[nodiscard]] Status append(std::span<const std::byte> bytes);
  [[nodiscard]] Status append(std::string_view text);
  [[nodiscard]] Status finish();

 private:
  NewFile(std::string name, int descriptor) : name_(std::move(name)), descriptor_(descriptor) {}
  [[nodiscard]] tl::unexpected<Error> refuse() const;

  std::string name_;
  int descriptor_;  // -1: closed, or moved from
};

}  // namespace slora
