#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

namespace slora {

// The control groups of this process, of version 1 and 2: what a container or a service may use. The limits of all ancestors hold too, and
// a group that is not mounted here (in a container it is its own root) is looked for from its nearest ancestor on. Linux.
class Cgroups {
 public:
  // The files of other systems are for tests.
  explicit Cgroups(std::filesystem::path membership = "/proc/self/cgroup", std::filesystem::path mount = "/sys/fs/cgroup");

  // How many cores the CPU quotas grant, a fraction rounded up; nothing without a quota.
  [[nodiscard]] std::optional<int> core_count() const;
  // How many bytes are left under the memory limits; nothing without a limit. What the system can drop does not count as used.
  [[nodiscard]] std::optional<std::uint64_t> memory_left_bytes() const;

 private:
  struct Group {
    std::filesystem::path folder;
    bool is_version_2 = false;
  };
  // The group that has this controller, and its ancestors.
  [[nodiscard]] std::vector<Group> groups_of(std::string_view controller) const;
  void add_with_ancestors(std::vector<Group>& groups, const std::filesystem::path& root, std::string_view path, bool is_version_2) const;

  const std::filesystem::path membership_, mount_;
};

}  // namespace slora
