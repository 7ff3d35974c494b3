#include "engine/memory_limits.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace slora {
namespace {

// A file that holds one number; nothing when it is missing or says "max".
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

// The cgroup v2 folder of this process, below the usual mount point.
std::string cgroup_folder() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3);
  }
  return "/sys/fs/cgroup";
}

// What is left under one limit file and its usage file.
std::optional<std::uint64_t> left_under(const std::string& limit_path, const std::string& usage_path) {
  const std::optional<std::uint64_t> limit = read_number(limit_path), usage = read_number(usage_path);
  if (!limit || !usage) return std::nullopt;
  return *limit > *usage ? *limit - *usage : 0;
}

}  // namespace

std::uint64_t available_memory_bytes() {
  const std::string own = cgroup_folder();
  const std::optional<std::uint64_t> candidates[] = {
      meminfo_available(),
      left_under(own + "/memory.max", own + "/memory.current"),
      left_under("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
      left_under("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
  };
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  for (const std::optional<std::uint64_t>& candidate : candidates) {
    if (candidate) least = std::min(least, *candidate);
  }
  return least == std::numeric_limits<std::uint64_t>::max() ? 0 : least;
}

}  // namespace slora
