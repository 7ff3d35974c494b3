#include "base/cgroup.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace slora {
namespace {

namespace fs = std::filesystem;

// A system's files in a folder of their own.
struct CgroupsTest : ::testing::Test {
  CgroupsTest() { fs::remove_all(root); }
  ~CgroupsTest() override { fs::remove_all(root); }

  void write(const fs::path& path, const std::string& text) const {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text << "\n";
  }
  [[nodiscard]] Cgroups cgroups() const { return Cgroups(root / "membership", root / "cgroup"); }

  const fs::path root = fs::temp_directory_path() / ("slora_cgroup_test_" + std::to_string(getpid()));
};

TEST_F(CgroupsTest, HaveNoLimitsWhereNoneAreSet) {
  EXPECT_EQ(cgroups().core_count(), std::nullopt);
  write("membership", "0::/a");
  write("cgroup/a/cpu.max", "max 100000");
  write("cgroup/a/memory.max", "max");
  write("cgroup/a/memory.current", "1000");
  EXPECT_EQ(cgroups().core_count(), std::nullopt);
  EXPECT_EQ(cgroups().memory_left_bytes(), std::nullopt);
}

TEST_F(CgroupsTest, RoundFractionsOfCoresUp) {
  write("membership", "0::/a");
  for (const auto& [quota, cores] : {std::pair{"10000 100000", 1}, {"100000 100000", 1}, {"150000 100000", 2}, {"400000 100000", 4}}) {
    write("cgroup/a/cpu.max", quota);
    EXPECT_EQ(cgroups().core_count(), cores) << quota;
  }
}

TEST_F(CgroupsTest, TakeTheLeastOfAllAncestors) {
  write("membership", "0::/a/b/c");
  write("cgroup/a/cpu.max", "300000 100000");
  write("cgroup/a/b/cpu.max", "800000 100000");
  write("cgroup/a/b/c/cpu.max", "max 100000");
  write("cgroup/a/b/memory.max", "5000");
  write("cgroup/a/b/memory.current", "3000");
  write("cgroup/a/b/memory.stat", "anon 1\ninactive_file 500");
  EXPECT_EQ(cgroups().core_count(), 3);
  EXPECT_EQ(cgroups().memory_left_bytes(), 2500u);
}

TEST_F(CgroupsTest, KnowVersionOneBelowItsRoot) {
  write("membership", "11:memory:/job/7\n4:cpu,cpuacct:/job/7\n1:name=systemd:/");
  write("cgroup/memory/job/7/memory.limit_in_bytes", "9223372036854771712");
  write("cgroup/memory/job/7/memory.usage_in_bytes", "100");
  write("cgroup/memory/job/memory.limit_in_bytes", "4000");
  write("cgroup/memory/job/memory.usage_in_bytes", "3000");
  write("cgroup/memory/job/memory.stat", "cache 9\ntotal_inactive_file 1000");
  write("cgroup/cpu,cpuacct/job/7/cpu.cfs_quota_us", "150000");
  write("cgroup/cpu,cpuacct/job/7/cpu.cfs_period_us", "100000");
  write("cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1");
  write("cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000");
  EXPECT_EQ(cgroups().memory_left_bytes(), 2000u);
  EXPECT_EQ(cgroups().core_count(), 2);
}

TEST_F(CgroupsTest, KnowTheLimitsOfAContainerWhoseGroupIsItsRoot) {
  write("membership", "11:memory:/docker/0123\n4:cpu,cpuacct:/docker/0123\n0::/docker/0123");
  write("cgroup/memory/memory.limit_in_bytes", "4000");
  write("cgroup/memory/memory.usage_in_bytes", "1000");
  write("cgroup/cpu/cpu.cfs_quota_us", "50000");
  write("cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(cgroups().memory_left_bytes(), 3000u);
  EXPECT_EQ(cgroups().core_count(), 1);
}

TEST_F(CgroupsTest, KnowBothVersionsTogether) {
  write("membership", "4:cpu:/a\n0::/a");
  write("cgroup/unified/a/cpu.max", "200000 100000");
  EXPECT_EQ(cgroups().core_count(), 2);
}

}  // namespace
}  // namespace slora
