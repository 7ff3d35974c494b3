#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace slora {

// An open regular file, read by position and never mapped, so that a file which shrinks gives an error and no signal.
// Messages name the file without its folder, for they may reach clients. Move-only; reads on any thread.
class ReadOnlyFile {
 public:
  // E_NO_FILE when nothing is there, E_READ when it is no regular file or may not be read. Follows links.
  static Result<ReadOnlyFile> open(const std::string& path);

  ReadOnlyFile(ReadOnlyFile&& other) noexcept
      : name_(std::move(other.name_)), descriptor_(std::exchange(other.descriptor_, -1)), bytes_(other.bytes_) {}
  ReadOnlyFile& operator=(ReadOnlyFile&& other) noexcept;
  ~ReadOnlyFile();

  [[nodiscard]] const std::string& name() const { return name_; }
  // Its length when it was opened.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // Fills `out` with the bytes from `offset` on, or E_READ, also when the file has become too short for that.
  [[nodiscard]] Status read_at(std::span<std::byte> out, std::uint64_t offset) const;

 private:
  ReadOnlyFile(std::string name, int descriptor, std::uint64_t bytes) : name_(std::move(name)), descriptor_(descriptor), bytes_(bytes) {}

  std::string name_;
  int descriptor_;
  std::uint64_t bytes_;
};

// The last component of a path.
std::string_view file_name(std::string_view path);

}  // namespace slora
