#include "cli/byte_size.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(ByteSize, TakesTheUnitsThatPeopleWrite) {
  EXPECT_EQ(parse_byte_size("1073741824").value(), 1073741824u);
  EXPECT_EQ(parse_byte_size("4GiB").value(), std::uint64_t{4} << 30);
  EXPECT_EQ(parse_byte_size("4G").value(), std::uint64_t{4} << 30);
  EXPECT_EQ(parse_byte_size("512MB").value(), 512000000u);
  EXPECT_EQ(parse_byte_size("1.5 KiB").value(), 1536u);
  EXPECT_EQ(parse_byte_size("0").value(), 0u);
}

TEST(ByteSize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "GiB", "-1", "4 apples", "4gib ", "1e3", "1e30TB", "99999999999TiB", "nan", "0x10"}) {
    EXPECT_FALSE(parse_byte_size(text)) << text;
  }
}

TEST(ByteSize, IsShownWithTwoDigits) {
  EXPECT_EQ(shown_byte_size(512), "512 bytes");
  EXPECT_EQ(shown_byte_size(std::uint64_t{3} << 29), "1.50 GiB");
}

}  // namespace
}  // namespace slora
