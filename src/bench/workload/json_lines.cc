#include "bench/workload/json_lines.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "formats/file.h"

namespace slora::bench {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;
constexpr std::size_t kLineMax = std::size_t{16} << 20;  // bytes; a conversation has far fewer

Status take_json_line(std::string_view line, const std::function<Status(const Json& object)>& take) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) return {};
  const Result<Json> object = parse_json(line);
  if (!object) return tl::unexpected(object.error());
  if (!object->is_object()) return error("E_BAD_JSON", "expected an object, found {}", type_name(*object));
  return take(*object);
}

}  // namespace

Status read_json_lines(const std::string& path, const std::function<Status(const Json& object)>& take) {
  const Result<ReadOnlyFile> file = ReadOnlyFile::open(path);
  if (!file) return tl::unexpected(file.error());
  std::vector<char> piece(kReadBytes);
  std::string line;
  std::size_t number = 0;
  const auto end_line = [&]() -> Status {
    ++number;
    const Status taken = take_json_line(line, take);
    line.clear();
    if (taken) return {};
    return error(taken.error().code, "{}, line {}: {}", file->name(), number, taken.error().message);
  };
  for (std::uint64_t offset = 0; offset < file->bytes();) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, file->bytes() - offset));
    if (Status read = file->read_at(std::as_writable_bytes(std::span(piece).first(count)), offset); !read) return read;
    offset += count;
    for (std::string_view left(piece.data(), count); !left.empty();) {
      const std::size_t end = std::min(left.find('\n'), left.size());
      line += left.substr(0, end);
      if (line.size() > kLineMax) return error("E_BAD_JSON", "{}, line {}: more than {} bytes", file->name(), number + 1, kLineMax);
      if (end == left.size()) break;
      left.remove_prefix(end + 1);
      if (Status ended = end_line(); !ended) return ended;
    }
  }
  return line.empty() ? Status() : end_line();
}

}  // namespace slora::bench
