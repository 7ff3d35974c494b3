#include "base/log.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(Log, WritesOneLineWithTheLevel) {
  testing::internal::CaptureStderr();
  log_warning("adapter {} is {} bytes", "a", 7);
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_NE(line.find(" W adapter a is 7 bytes\n"), std::string::npos) << line;
}

TEST(Log, DropsLinesBelowTheLevel) {
  testing::internal::CaptureStderr();
  log_debug("not shown");
  set_log_level(LogLevel::error);
  log_info("not shown");
  log_error("shown {{}} braces");
  set_log_level(LogLevel::info);
  const std::string lines = testing::internal::GetCapturedStderr();
  EXPECT_EQ(lines.find("not shown"), std::string::npos) << lines;
  EXPECT_NE(lines.find(" E shown {} braces\n"), std::string::npos) << lines;
}

}  // namespace
}  // namespace slora
