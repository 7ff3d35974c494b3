#include "formats/gguf_cursor.h"

#include <algorithm>

namespace slora {
namespace {

constexpr std::uint64_t kWindowBytes = std::uint64_t{256} << 10;

}  // namespace

GgufCursor::GgufCursor(const ReadOnlyFile& file, std::uint64_t bytes_max) : file_(file), bytes_(std::min(file.bytes(), bytes_max)) {}

bool GgufCursor::take_bytes(std::span<std::byte> out) {
  if (failure_ || out.size() > left()) return false;
  while (!out.empty()) {
    const std::uint64_t in_window = window_begin_ + window_.size() - position_;
    if (in_window == 0) {
      window_.resize(std::min(kWindowBytes, left()));
      window_begin_ = position_;
      if (const Status read = file_.read_at(window_, position_); !read) {
        failure_ = read.error();
        return false;
      }
      continue;
    }
    const std::size_t count = std::min<std::size_t>(out.size(), in_window);
    std::memcpy(out.data(), &window_[position_ - window_begin_], count);
    out = out.subspan(count);
    position_ += count;
  }
  return true;
}

std::optional<std::string> GgufCursor::take_text() {
  const std::optional<std::uint64_t> length = take<std::uint64_t>();
  if (!length || *length > left()) return std::nullopt;
  std::string text(*length, '\0');
  if (!take_bytes(std::as_writable_bytes(std::span(text)))) return std::nullopt;
  return text;
}

}  // namespace slora
