#include "engine/memory_limits.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "base/cgroup.h"

namespace slora {
namespace {

constexpr std::size_t kPrefaultBytes = std::size_t{64} << 20;  // between two reports of progress
constexpr std::size_t kSmallPageBytes = 4096;

std::optional<std::uint64_t> meminfo_available() {
  std::ifstream file("/proc/meminfo");
  for (std::string key; file >> key;) {
    std::uint64_t kib = 0;
    if (key == "MemAvailable:" && file >> kib) return kib * 1024;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

}  // namespace

std::uint64_t available_memory_bytes() {
  const std::optional<std::uint64_t> system = meminfo_available(), group = Cgroups().memory_left_bytes();
  if (!system || !group) return system.value_or(group.value_or(0));
  return std::min(*system, *group);
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

double gib(std::uint64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(std::uint64_t{1} << 30); }

std::string shown_bytes(std::uint64_t bytes) {
  return bytes >> 30 > 0 ? fmt::format("{:.2f} GiB", gib(bytes)) : fmt::format("{:.1f} MiB", 1024 * gib(bytes));
}

}  // namespace slora
