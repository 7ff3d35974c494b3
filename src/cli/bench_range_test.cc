#include "cli/bench_range.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(RealRange, TakesItsEndsAndWhatIsBetween) {
  for (const char* text : {"0.01", "1", "1e1"}) EXPECT_EQ(real_range(0.01, 10)(std::string(text)), "") << text;
}

TEST(RealRange, RefusesWhatIsNoNumberInside) {
  for (const char* text : {"0", "10.1", "-1", "nan", "-nan", "inf", "ten", ""})
    EXPECT_NE(real_range(0.01, 10)(std::string(text)), "") << text;
}

}  // namespace
}  // namespace slora
