#include "cli/option_range.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(WholeRange, TakesItsEndsAndRefusesWhatIsNoNumberInside) {
  for (const char* text : {"1", "7", "9"}) EXPECT_EQ(in_range(1, 9)(std::string(text)), "") << text;
  for (const char* text : {"0", "10", "-1", "nan", "ten", "", "1.5", "4294967297", "99999999999999999999"})
    EXPECT_NE(in_range(1, 9)(std::string(text)), "") << text;
}

TEST(RealRange, TakesItsEndsAndWhatIsBetween) {
  for (const char* text : {"0.01", "1", "1e1"}) EXPECT_EQ(real_range(0.01, 10)(std::string(text)), "") << text;
}

TEST(RealRange, RefusesWhatIsNoNumberInside) {
  for (const char* text : {"0", "10.1", "-1", "nan", "-nan", "inf", "ten", ""})
    EXPECT_NE(real_range(0.01, 10)(std::string(text)), "") << text;
}

TEST(OptionRange, SaysWhatWasExpectedAndFound) {
  EXPECT_EQ(in_range(1, 9)(std::string("ten")), "expected a whole number from 1 to 9, found \"ten\"");
  EXPECT_EQ(real_range(0.5, 9)(std::string("10")), "expected a number from 0.5 to 9, found \"10\"");
  EXPECT_EQ(one_of({"wait", "exit"})(std::string("run")), "expected wait or exit, found \"run\"");
  EXPECT_EQ(one_of({"wait", "exit"})(std::string("exit")), "");
}

}  // namespace
}  // namespace slora
