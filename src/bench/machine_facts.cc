#include "bench/machine_facts.h"

#include <fmt/chrono.h>
#include <sys/utsname.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "bench/commit.h"
#include "kernels/cpu/thread_pool.h"

namespace slora::bench {
namespace {

#if defined(__clang__)
constexpr std::string_view kCompiler = __VERSION__;
#else
constexpr std::string_view kCompiler = "GCC " __VERSION__;
#endif

// The text after the colon of the first line that begins with `key`.
std::string value_of(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t begin = line.find_first_not_of(" \t", line.find(':') + 1);
    return begin == std::string::npos ? std::string() : line.substr(begin);
  }
  return {};
}

std::uint64_t kib_of(const std::string& path, std::string_view key) {
  const std::string value = value_of(path, key);
  return value.empty() ? 0 : std::strtoull(value.c_str(), nullptr, 10) * 1024;
}

std::string instructions() {
  std::string found;
#if defined(__x86_64__)
  const auto add = [&](bool has, std::string_view name) {
    if (has) found += (found.empty() ? "" : " ") + std::string(name);
  };
  add(__builtin_cpu_supports("avx2"), "avx2");
  add(__builtin_cpu_supports("fma"), "fma");
  add(__builtin_cpu_supports("avx512f"), "avx512f");
  add(__builtin_cpu_supports("avx512bf16"), "avx512bf16");
  add(__builtin_cpu_supports("avx512vnni"), "avx512vnni");
#endif
  return found;
}

// "always [madvise] never" is madvise.
std::string huge_page_mode() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string line;
  std::getline(file, line);
  const std::size_t open = line.find('['), close = line.find(']');
  return open == std::string::npos || close == std::string::npos ? "unknown" : line.substr(open + 1, close - open - 1);
}

}  // namespace

MachineFacts machine_facts() {
  MachineFacts facts;
  facts.cpu = value_of("/proc/cpuinfo", "model name");
  facts.cores = cpu::usable_core_count();
  facts.instructions = instructions();
  facts.memory_bytes = kib_of("/proc/meminfo", "MemTotal");
  facts.huge_pages = huge_page_mode();
  utsname names{};
  if (uname(&names) == 0) {
    facts.system = fmt::format("{} {} {}", names.sysname, names.release, names.machine);
    if (facts.cpu.empty()) facts.cpu = names.machine;
  }
  facts.compiler = kCompiler;
  facts.commit = commit();
  facts.date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  return facts;
}

Json to_json(const MachineFacts& facts) {
  return {{"cpu", facts.cpu},
          {"cores", facts.cores},
          {"instructions", facts.instructions},
          {"memory_bytes", facts.memory_bytes},
          {"huge_pages", facts.huge_pages},
          {"system", facts.system},
          {"compiler", facts.compiler},
          {"commit", facts.commit},
          {"date", facts.date}};
}

std::uint64_t peak_memory_bytes() { return kib_of("/proc/self/status", "VmHWM"); }

std::uint64_t huge_page_bytes() { return kib_of("/proc/self/smaps_rollup", "AnonHugePages"); }

}  // namespace slora::bench
