#include "cli/bench_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

namespace slora {
namespace {

using ::testing::HasSubstr;

TEST(BenchProgram, SaysHowToBuildItWhereItIsMissing) {
  std::string slora = "slora", bench = "bench";
  const std::array<char*, 3> words = {slora.data(), bench.data(), nullptr};
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run_bench_program(words.data()), 1);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("--target slora-bench"));
}

}  // namespace
}  // namespace slora
