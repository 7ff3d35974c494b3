#include "cli/progress_bar.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(ProgressLine, FillsWithTheShareThatIsDone) {
  EXPECT_EQ(progress_line("Loading", 0, 10, 4), "Loading [----]   0 %");
  EXPECT_EQ(progress_line("Loading", 5, 10, 4), "Loading [##--]  50 %");
  EXPECT_EQ(progress_line("Loading", 10, 10, 4), "Loading [####] 100 %");
  EXPECT_EQ(progress_line("Loading", 0, 0, 4), "Loading [####] 100 %");
}

}  // namespace
}  // namespace slora
