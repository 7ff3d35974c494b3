#include "engine/memory_limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace slora {
namespace {

const std::string kCgroupRoot = "/sys/fs/cgroup";
constexpr std::size_t kPrefaultBytes = std::size_t{64} << 20;  // between two reports of progress
constexpr std::size_t kSmallPageBytes = 4096;

// The number in a file; nothing if the file is missing or contains "max".
std::optional<std::uint64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

std::optional<std::uint64_t> meminfo_available() {
  std::ifstream file("/proc/meminfo");
  for (std::string key; file >> key;) {
    std::uint64_t kib = 0;
    if (key == "MemAvailable:" && file >> kib) return kib * 1024;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

// The value of `key` in a file of "key value" lines; 0 if there is none.
std::uint64_t read_statistic(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == key) return value;
  }
  return 0;
}

// The cgroup v2 folder of this process, below the usual mount point.
std::filesystem::path cgroup_folder() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return kCgroupRoot + line.substr(3);
  }
  return kCgroupRoot;
}

// Bytes left under one limit. Cached file pages count as used there, but the system drops them when memory gets scarce; after reading a
// model they are most of the usage.
std::optional<std::uint64_t> left_under(std::optional<std::uint64_t> limit, std::optional<std::uint64_t> usage, std::uint64_t droppable) {
  if (!limit || !usage) return std::nullopt;
  const std::uint64_t used = *usage - std::min(*usage, droppable);
  return *limit - std::min(*limit, used);
}

}  // namespace

// The limits of all ancestors hold for this process too.
std::uint64_t available_memory_bytes() {
  std::uint64_t least = meminfo_available().value_or(std::numeric_limits<std::uint64_t>::max());
  const auto consider = [&](std::optional<std::uint64_t> left) { least = std::min(least, left.value_or(least)); };
  for (std::filesystem::path folder = cgroup_folder(); folder.string().size() >= kCgroupRoot.size(); folder = folder.parent_path()) {
    const std::string at = folder.string();
    consider(left_under(read_number(at + "/memory.max"), read_number(at + "/memory.current"),
                        read_statistic(at + "/memory.stat", "inactive_file")));
  }
  const std::string version_1 = kCgroupRoot + "/memory";
  consider(left_under(read_number(version_1 + "/memory.limit_in_bytes"), read_number(version_1 + "/memory.usage_in_bytes"),
                      read_statistic(version_1 + "/memory.stat", "total_inactive_file")));
  return least == std::numeric_limits<std::uint64_t>::max() ? 0 : least;
}

void prefault(std::span<std::byte> memory, const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  for (std::size_t begin = 0; begin < memory.size(); begin += kPrefaultBytes) {
    const std::span<std::byte> piece = memory.subspan(begin, std::min(kPrefaultBytes, memory.size() - begin));
    if (madvise(piece.data(), piece.size(), MADV_POPULATE_WRITE) != 0) {  // before Linux 5.14
      for (std::size_t at = 0; at < piece.size(); at += kSmallPageBytes) {
        volatile std::byte& first = piece[at];
        first = std::byte{first};
      }
    }
    progress(begin + piece.size(), memory.size());
  }
}

}  // namespace slora
