#include "formats/zip_entries.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>

#include "formats/json.h"

namespace slora {
namespace {

// The records of a zip file, little-endian, with the places of their fields.
constexpr std::uint64_t kEndBytes = 22, kCommentBytesMax = 65535, kLocatorBytes = 20, kEnd64Bytes = 56, kEntryBytes = 46, kLocalBytes = 30;
constexpr std::uint32_t kEndMark = 0x06054b50, kLocatorMark = 0x07064b50, kEnd64Mark = 0x06064b50, kEntryMark = 0x02014b50,
                        kLocalMark = 0x04034b50;
constexpr std::uint32_t kIn64 = 0xffffffff;  // the number is in the zip64 field

template <class T>
T number_at(std::span<const std::byte> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.subspan(at, sizeof(T)).data(), sizeof(T));
  return value;
}

tl::unexpected<Error> refuse_zip(const ReadOnlyFile& file, std::string_view what) { return error("E_ZIP", "{}: {}", file.name(), what); }

Result<std::vector<std::byte>> read_range(const ReadOnlyFile& file, std::uint64_t offset, std::uint64_t count) {
  if (offset > file.bytes() || count > file.bytes() - offset)
    return refuse_zip(file,
                      fmt::format("expected its parts within the file's {} bytes, found {} bytes at {}", file.bytes(), count, offset));
  std::vector<std::byte> bytes(count);
  if (Status read = file.read_at(bytes, offset); !read) return forward_error(read);
  return bytes;
}

struct Directory {
  std::uint64_t offset = 0, bytes = 0, count = 0;
};

Result<Directory> find_directory(const ReadOnlyFile& file) {
  const std::uint64_t tail_bytes = std::min(file.bytes(), kEndBytes + kCommentBytesMax);
  const std::uint64_t tail_begin = file.bytes() - tail_bytes;
  const Result<std::vector<std::byte>> tail = read_range(file, tail_begin, tail_bytes);
  if (!tail) return tl::unexpected(tail.error());
  std::optional<std::uint64_t> end;
  for (std::uint64_t at = tail_bytes; at-- > 0 && !end;) {
    if (tail_bytes - at >= kEndBytes && number_at<std::uint32_t>(*tail, at) == kEndMark) end = at;
  }
  if (!end) return refuse_zip(file, "expected a zip archive, found no end of one; it may be cut off");
  Directory directory{number_at<std::uint32_t>(*tail, *end + 16), number_at<std::uint32_t>(*tail, *end + 12),
                      number_at<std::uint16_t>(*tail, *end + 10)};
  if (directory.offset != kIn64 && directory.bytes != kIn64 && directory.count != 0xffff) return directory;

  if (tail_begin + *end < kLocatorBytes) return refuse_zip(file, "expected a zip64 archive, found none");
  const Result<std::vector<std::byte>> locator = read_range(file, tail_begin + *end - kLocatorBytes, kLocatorBytes);
  if (!locator) return tl::unexpected(locator.error());
  if (number_at<std::uint32_t>(*locator, 0) != kLocatorMark) return refuse_zip(file, "expected a zip64 archive, found none");
  const Result<std::vector<std::byte>> end64 = read_range(file, number_at<std::uint64_t>(*locator, 8), kEnd64Bytes);
  if (!end64) return tl::unexpected(end64.error());
  if (number_at<std::uint32_t>(*end64, 0) != kEnd64Mark) return refuse_zip(file, "expected a zip64 archive, found none");
  return Directory{number_at<std::uint64_t>(*end64, 48), number_at<std::uint64_t>(*end64, 40), number_at<std::uint64_t>(*end64, 32)};
}

// An entry as the directory has it, with its record's place; and the two sizes that must be equal.
struct DirectoryEntry {
  ZipEntry entry;
  std::uint64_t packed_bytes = 0;
  std::size_t next = 0;  // in the directory
};

// Numbers that do not fit a field are in the zip64 field of `extra`, in this order. False where they are not.
bool take_zip64(std::span<const std::byte> extra, std::span<std::uint64_t* const> numbers) {
  while (extra.size() >= 4) {
    const auto kind = number_at<std::uint16_t>(extra, 0), bytes = number_at<std::uint16_t>(extra, 2);
    if (bytes > extra.size() - 4) return false;
    if (kind != 1) {
      extra = extra.subspan(4u + bytes);
      continue;
    }
    std::span<const std::byte> field = extra.subspan(4, bytes);
    for (std::uint64_t* const number : numbers) {
      if (*number != kIn64) continue;
      if (field.size() < sizeof(std::uint64_t)) return false;
      *number = number_at<std::uint64_t>(field, 0);
      field = field.subspan(sizeof(std::uint64_t));
    }
    return true;
  }
  return std::ranges::none_of(numbers, [](const std::uint64_t* number) { return *number == kIn64; });
}

Result<DirectoryEntry> parse_entry(const ReadOnlyFile& file, std::span<const std::byte> directory, std::size_t at) {
  const auto refuse_end = [&] { return refuse_zip(file, "expected as many entries as its directory says, found fewer"); };
  if (directory.size() - at < kEntryBytes) return refuse_end();
  const std::span<const std::byte> record = directory.subspan(at);
  if (number_at<std::uint32_t>(record, 0) != kEntryMark) return refuse_end();
  const std::size_t name_bytes = number_at<std::uint16_t>(record, 28), extra_bytes = number_at<std::uint16_t>(record, 30),
                    comment_bytes = number_at<std::uint16_t>(record, 32);
  if (record.size() - kEntryBytes < name_bytes + extra_bytes + comment_bytes) return refuse_end();
  DirectoryEntry found{{}, number_at<std::uint32_t>(record, 20), at + kEntryBytes + name_bytes + extra_bytes + comment_bytes};
  found.entry.name.assign(reinterpret_cast<const char*>(record.data()) + kEntryBytes, name_bytes);
  found.entry.bytes = number_at<std::uint32_t>(record, 24);
  found.entry.offset = number_at<std::uint32_t>(record, 42);
  const std::array<std::uint64_t*, 3> numbers = {&found.entry.bytes, &found.packed_bytes, &found.entry.offset};
  if (!take_zip64(record.subspan(kEntryBytes + name_bytes, extra_bytes), numbers)) return refuse_end();
  const bool is_encrypted = (number_at<std::uint16_t>(record, 8) & 1u) != 0;
  if (is_encrypted || number_at<std::uint16_t>(record, 10) != 0 || found.packed_bytes != found.entry.bytes)
    return refuse_zip(file,
                      fmt::format("entry {}: expected bytes as they are, found compressed or encrypted ones", quote(found.entry.name)));
  return found;
}

// Makes the entry's offset that of its bytes, which begin after a record of their own.
Status find_bytes(ZipEntry& entry, const ReadOnlyFile& file) {
  const Result<std::vector<std::byte>> local = read_range(file, entry.offset, kLocalBytes);
  if (!local) return tl::unexpected(local.error());
  if (number_at<std::uint32_t>(*local, 0) != kLocalMark) return refuse_zip(file, fmt::format("entry {}: not found", quote(entry.name)));
  entry.offset += kLocalBytes + number_at<std::uint16_t>(*local, 26) + number_at<std::uint16_t>(*local, 28);
  if (entry.offset > file.bytes() || entry.bytes > file.bytes() - entry.offset)
    return refuse_zip(file, fmt::format("entry {}: expected {} bytes within the file, found fewer", quote(entry.name), entry.bytes));
  return {};
}

}  // namespace

Result<std::vector<ZipEntry>> read_zip_entries(const ReadOnlyFile& file, const ZipLimits& limits) {
  const Result<Directory> directory = find_directory(file);
  if (!directory) return tl::unexpected(directory.error());
  if (directory->bytes > limits.directory_bytes_max || directory->count > limits.entries_max) {
    return refuse_zip(file, fmt::format("expected at most {} entries in {} bytes, found {} in {}", limits.entries_max,
                                        limits.directory_bytes_max, directory->count, directory->bytes));
  }
  const Result<std::vector<std::byte>> bytes = read_range(file, directory->offset, directory->bytes);
  if (!bytes) return tl::unexpected(bytes.error());
  std::vector<ZipEntry> entries;
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < directory->count; ++i) {
    Result<DirectoryEntry> found = parse_entry(file, *bytes, at);
    if (!found) return forward_error(found);
    if (Status placed = find_bytes(found->entry, file); !placed) return forward_error(placed);
    at = found->next;
    entries.push_back(std::move(found->entry));
  }
  return entries;
}

}  // namespace slora
