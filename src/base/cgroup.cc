#include "base/cgroup.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

namespace slora {
namespace {

// The number in a file; nothing if the file is missing or contains "max".
template <class Number>
std::optional<Number> number_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  Number value{};
  if (file >> value) return value;
  return std::nullopt;
}

// The value of `key` in a file of "key value" lines; 0 if there is none.
std::uint64_t statistic_in(const std::filesystem::path& path, std::string_view key) {
  std::ifstream file(path);
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == key) return value;
  }
  return 0;
}

// Bytes left under one limit. Cached file pages count as used there, but the system drops them when memory gets scarce; after reading a
// model they are most of the usage.
std::optional<std::uint64_t> left_under(std::optional<std::uint64_t> limit, std::optional<std::uint64_t> usage, std::uint64_t droppable) {
  if (!limit || !usage) return std::nullopt;
  const std::uint64_t used = *usage - std::min(*usage, droppable);
  return *limit - std::min(*limit, used);
}

// Quota and period of the time on CPUs; nothing without a quota.
std::optional<double> granted_cores(const std::filesystem::path& folder, bool is_version_2) {
  double quota = 0, period = 0;
  if (is_version_2) {
    std::ifstream file(folder / "cpu.max");
    if (!(file >> quota >> period)) return std::nullopt;  // "max" is not parsed as a number
  } else {
    quota = static_cast<double>(number_in<std::int64_t>(folder / "cpu.cfs_quota_us").value_or(-1));
    period = static_cast<double>(number_in<std::int64_t>(folder / "cpu.cfs_period_us").value_or(0));
  }
  if (quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

// Whether "cpu,cpuacct" has "cpu".
bool lists(std::string_view controllers, std::string_view wanted) {
  for (std::size_t begin = 0; begin <= controllers.size();) {
    const std::size_t end = std::min(controllers.find(',', begin), controllers.size());
    if (controllers.substr(begin, end - begin) == wanted) return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

Cgroups::Cgroups(std::filesystem::path membership, std::filesystem::path mount)
    : membership_(std::move(membership)), mount_(std::move(mount)) {}

// Lines are "number:controllers:path"; version 2 has number 0 and no controllers.
std::vector<Cgroups::Group> Cgroups::groups_of(std::string_view controller) const {
  std::vector<Group> groups;
  std::ifstream file(membership_);
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      add_with_ancestors(groups, mount_, path, true);
      add_with_ancestors(groups, mount_ / "unified", path, true);  // where both versions are mounted
    } else if (lists(controllers, controller)) {
      add_with_ancestors(groups, mount_ / controller, path, false);
      if (controllers != controller) add_with_ancestors(groups, mount_ / controllers, path, false);
    }
  }
  if (groups.empty()) {  // without /proc
    groups.push_back({mount_, true});
    groups.push_back({mount_ / controller, false});
  }
  return groups;
}

void Cgroups::add_with_ancestors(std::vector<Group>& groups, const std::filesystem::path& root, std::string_view path,
                                 bool is_version_2) const {
  for (std::string_view rest = path; !rest.empty() && rest != "/"; rest = rest.substr(0, rest.rfind('/'))) {
    groups.push_back({root / std::filesystem::path(rest).relative_path(), is_version_2});
  }
  groups.push_back({root, is_version_2});
}

std::optional<int> Cgroups::core_count() const {
  std::optional<int> least;
  for (const Group& group : groups_of("cpu")) {
    const std::optional<double> cores = granted_cores(group.folder, group.is_version_2);
    if (!cores) continue;
    const int whole = std::max(1, static_cast<int>(std::ceil(std::min(*cores, 1e6))));
    least = std::min(whole, least.value_or(whole));
  }
  return least;
}

std::optional<std::uint64_t> Cgroups::memory_left_bytes() const {
  std::optional<std::uint64_t> least;
  for (const auto& [folder, is_version_2] : groups_of("memory")) {
    const auto in_group = [&, &at = folder](const char* name) { return number_in<std::uint64_t>(at / name); };
    const std::optional<std::uint64_t> left =
        is_version_2 ? left_under(in_group("memory.max"), in_group("memory.current"), statistic_in(folder / "memory.stat", "inactive_file"))
                     : left_under(in_group("memory.limit_in_bytes"), in_group("memory.usage_in_bytes"),
                                  statistic_in(folder / "memory.stat", "total_inactive_file"));
    if (left) least = std::min(*left, least.value_or(*left));
  }
  return least;
}

}  // namespace slora
