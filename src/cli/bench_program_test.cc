#include "cli/bench_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(BenchProgram, IsReportedWhereItIsMissing) {
  std::string slora = "slora", bench = "bench";
  const std::array<char*, 3> words = {slora.data(), bench.data(), nullptr};
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run_bench_program(words.data()), 1);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("slora-bench, which does not exist"));
}

TEST(BenchProgram, IsBuiltByACommandOnlyInABuildFolder) {
  const TemporaryFolder folder;
  EXPECT_THAT(missing_bench_text(folder.path() + "/bin/slora-bench"), Not(HasSubstr("cmake")));
  folder.write("CMakeCache.txt", "");
  EXPECT_THAT(missing_bench_text(folder.path() + "/bin/slora-bench"),
              HasSubstr("cmake --build " + folder.path() + " --target slora-bench"));
}

}  // namespace
}  // namespace slora
