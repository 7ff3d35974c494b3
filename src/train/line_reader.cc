#include "train/line_reader.h"

#include <algorithm>
#include <span>

namespace slora {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // what some editors begin a file with

}  // namespace

Result<LineReader> LineReader::open(const std::string& path) {
  Result<ReadOnlyFile> file = ReadOnlyFile::open(path);
  if (!file) return forward_error(file);
  return LineReader(std::move(*file));
}

Result<std::optional<std::string_view>> LineReader::next() {
  std::size_t searched = begin_;
  for (;;) {
    std::size_t end = buffer_.find('\n', searched);
    const bool is_last = end == std::string::npos && offset_ == file_.bytes();
    if (is_last && begin_ == buffer_.size()) return std::nullopt;
    if (is_last) end = buffer_.size();
    if (end != std::string::npos) {
      std::string_view line = std::string_view(buffer_).substr(begin_, end - begin_);
      begin_ = searched = std::min(end + 1, buffer_.size());
      if (++number_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
      if (line.find_first_not_of(" \t\r") != std::string_view::npos) return line;
      continue;
    }
    if (buffer_.size() - begin_ > kLineBytesMax) {
      return error("E_TOO_LARGE", "line {}: expected at most {} bytes, found more", number_ + 1, kLineBytesMax);
    }
    searched = buffer_.size() - begin_;
    if (Status read = read_more(); !read) return forward_error(read);
  }
}

// Drops the lines that were given, so that what remains is less than one line.
Status LineReader::read_more() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  const std::size_t kept = buffer_.size();
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, file_.bytes() - offset_));
  buffer_.resize(kept + count);
  if (Status read = file_.read_at(std::as_writable_bytes(std::span(buffer_).subspan(kept)), offset_); !read) return read;
  offset_ += count;
  return {};
}

}  // namespace slora
