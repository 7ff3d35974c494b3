#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/file.h"

namespace slora {

// Goes through the first bytes of a file from its begin, holding a window of them only. A read beyond the last of them gives nothing.
// Owned and used by one thread; the file outlives it.
class GgufCursor {
 public:
  GgufCursor(const ReadOnlyFile& file, std::uint64_t bytes_max);

  template <class T>
  std::optional<T> take() {
    T value;
    if (!take_bytes(std::as_writable_bytes(std::span(&value, 1)))) return std::nullopt;
    return value;  // files and this machine are little-endian
  }
  // A length of 8 bytes, then as many bytes. What is held is never more than what the file has.
  std::optional<std::string> take_text();

  [[nodiscard]] std::uint64_t position() const { return position_; }
  // Bytes after the position.
  [[nodiscard]] std::uint64_t left() const { return bytes_ - position_; }
  // Why the file can't be read; nothing so far.
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }

 private:
  bool take_bytes(std::span<std::byte> out);

  const ReadOnlyFile& file_;
  const std::uint64_t bytes_;  // that may be read
  std::uint64_t position_ = 0;
  std::vector<std::byte> window_;
  std::uint64_t window_begin_ = 0;
  std::optional<Error> failure_;
};

}  // namespace slora
