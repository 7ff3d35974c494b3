#include "engine/memory_limits.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "tensor/buffer.h"

namespace slora {
namespace {

const auto kPageBytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

std::size_t resident_page_count(std::span<std::byte> memory) {
  std::vector<unsigned char> resident((memory.size() + kPageBytes - 1) / kPageBytes);
  EXPECT_EQ(mincore(memory.data(), memory.size(), resident.data()), 0);
  return static_cast<std::size_t>(std::ranges::count_if(resident, [](unsigned char page) { return (page & 1) != 0; }));
}

TEST(Prefault, GivesEveryPageItsMemoryAndKeepsWhatThePagesHold) {
  const std::size_t bytes = (std::size_t{65} << 20) + 3 * kPageBytes;  // more than one piece, the last of them short
  const Buffer buffer(bytes);
  const std::span<std::byte> memory(buffer.data(), bytes);
  memory[bytes - 1] = std::byte{7};
  ASSERT_LT(resident_page_count(memory), bytes / kPageBytes);
  std::vector<std::uint64_t> reports;
  prefault(memory, [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(total, bytes);
    reports.push_back(done);
  });
  EXPECT_EQ(resident_page_count(memory), bytes / kPageBytes);
  EXPECT_EQ(memory[bytes - 1], std::byte{7});
  EXPECT_EQ(reports, (std::vector<std::uint64_t>{std::uint64_t{64} << 20, bytes}));
}

TEST(Prefault, IsDoneAtOnceWithNoMemory) {
  prefault({}, [](std::uint64_t, std::uint64_t) { ADD_FAILURE() << "there is nothing to do"; });
}

}  // namespace
}  // namespace slora
