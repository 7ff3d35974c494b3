#include "base/log.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "base/log_record.h"

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

// A warning as it is logged in this format.
std::string logged_as(LogFormat format, std::string_view message, std::span<const LogField> fields) {
  set_log_format(format);
  testing::internal::CaptureStderr();
  log_record(LogLevel::warning, message, fields);
  set_log_format(LogFormat::text);
  return testing::internal::GetCapturedStderr();
}

const std::array<LogField, 4> kFields = {
    {{"id", "a\"b"}, {"status", std::int64_t{1} << 60}, {"ms", 0.25}, {"rate", std::numeric_limits<double>::infinity()}}};

TEST(Log, WritesARecordAsOneObjectInALine) {
  const std::string line = logged_as(LogFormat::json, "said \"x\\\"\n", kFields);
  EXPECT_TRUE(line.starts_with("{\"ts\":\"2")) << line;
  EXPECT_EQ(line.substr(line.find("Z\"")),
            "Z\",\"level\":\"warning\",\"msg\":\"said \\\"x\\\\\\\"?\",\"id\":\"a\\\"b\",\"status\":1152921504606846976,\"ms\":0.25,"
            "\"rate\":null}\n");
  const std::string text = logged_as(LogFormat::text, "request", std::span(kFields).first(3));
  EXPECT_TRUE(text.ends_with(" W request id=a\"b status=1152921504606846976 ms=0.25\n")) << text;
}

TEST(Log, RepairsInAnObjectWhatIsNoUtf8) {
  const auto message_of = [](std::string_view text) {
    const std::string line = logged_as(LogFormat::json, text, {});
    const std::size_t begin = line.find("\"msg\":\"") + 7;
    return line.substr(begin, line.rfind('"') - begin);
  };
  for (const char* right : {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf"}) EXPECT_EQ(message_of(right), right);
  EXPECT_EQ(message_of("\xc3"), "?");
  EXPECT_EQ(message_of("\xc3x"), "?x");
  EXPECT_EQ(message_of("\xc0\xaf"), "??") << "longer than needed";
  EXPECT_EQ(message_of("\xe0\x80\xaf"), "???");
  EXPECT_EQ(message_of("\xed\xa0\x80"), "???") << "half a pair of UTF-16";
  EXPECT_EQ(message_of("\xf4\x90\x80\x80"), "????") << "beyond the last character";
  EXPECT_EQ(message_of("a\x01\x7f\xff"), "a???");
}

}  // namespace
}  // namespace slora
