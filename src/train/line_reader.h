#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "formats/file.h"

namespace slora {

// The lines of a file, one after the other, of which only one and a small part of the file is in memory. One thread.
class LineReader {
 public:
  static constexpr std::size_t kLineBytesMax = std::size_t{16} << 20;

  // The errors of ReadOnlyFile::open.
  [[nodiscard]] static Result<LineReader> open(const std::string& path);

  // The next line that is more than white space, without its end; valid until the next call. Nothing at the end of the file. E_TOO_LARGE
  // for a longer line than kLineBytesMax, E_READ.
  [[nodiscard]] Result<std::optional<std::string_view>> next();

  // Of the line that next() gave, from 1; lines of white space count.
  [[nodiscard]] std::int64_t number() const { return number_; }
  // Bytes of the file that were read, for a progress bar, and all.
  [[nodiscard]] std::uint64_t bytes_read() const { return offset_; }
  [[nodiscard]] std::uint64_t bytes() const { return file_.bytes(); }

 private:
  explicit LineReader(ReadOnlyFile file) : file_(std::move(file)) {}
  [[nodiscard]] Status read_more();

  ReadOnlyFile file_;
  std::uint64_t offset_ = 0;  // of the file: where what is in buffer_ ends
  std::string buffer_;
  std::size_t begin_ = 0;  // of the next line in buffer_
  std::int64_t number_ = 0;
};

}  // namespace slora
