#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace slora {

enum class Links { followed, refused };

// An open regular file, read with pread and never mapped, so that reading a file that shrinks is an error instead of a signal.
// Messages name the file without its folder, because they may be sent to clients. Move-only; reads on any thread.
class ReadOnlyFile {
 public:
  // E_NO_FILE if it does not exist, E_FILE_TYPE if it is no regular file, E_READ if it is not readable. Follows links.
  static Result<ReadOnlyFile> open(const std::string& path);
  // The file `path` relative to the open folder `folder`; messages call it `name`.
  static Result<ReadOnlyFile> open_in(int folder, const std::string& path, std::string name, Links links);
  // The file of this descriptor, which it closes. E_FILE_TYPE, E_READ.
  static Result<ReadOnlyFile> of_descriptor(std::string name, int descriptor);

  ReadOnlyFile(ReadOnlyFile&& other) noexcept
      : name_(std::move(other.name_)), descriptor_(std::exchange(other.descriptor_, -1)), bytes_(other.bytes_) {}
  ReadOnlyFile& operator=(ReadOnlyFile&& other) noexcept;
  ~ReadOnlyFile();

  [[nodiscard]] const std::string& name() const { return name_; }
  // Its length when it was opened.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // Fills `out` with the bytes from `offset` on. E_READ, also if the file has become too short.
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
