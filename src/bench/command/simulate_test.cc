#include "bench/command/simulate.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "bench/workload/json_lines.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

// The exit code; -1 when the words are refused as they are.
int run_simulate(const std::string& words) {
  CLI::App app;
  BenchSimulateArguments arguments;
  add_bench_simulate(app, arguments);
  try {
    app.parse("simulate " + words);
  } catch (const CLI::ParseError&) {
    return -1;
  }
  return run_bench_simulate(arguments, "simulate " + words);
}

std::vector<Json> lines_in(const std::string& path) {
  std::vector<Json> lines;
  const Status read = bench::read_json_lines(path, [&](const Json& line) -> Status {
    lines.push_back(line);
    return {};
  });
  EXPECT_TRUE(read.has_value());
  return lines;
}

TEST(BenchSimulate, RunsAWorkloadAtSeveralRates) {
  const TemporaryFolder folder = *TemporaryFolder::create();
  const std::string json = folder.path() + "/figures.jsonl";
  EXPECT_EQ(run_simulate("--device A10G --setting S1 --policy deadline --adapter-count 4 --seconds 20 --rates 1,2 --json " + json), 0);
  const std::vector<Json> lines = lines_in(json);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["simulated"], true);
  EXPECT_EQ(lines[0]["model"], "Llama-7B");
  EXPECT_EQ(lines[1]["summary"]["completed"], lines[1]["summary"]["requests"]);
  EXPECT_GT(lines[2]["summary"]["requests"], lines[1]["summary"]["requests"]);
}

TEST(BenchSimulate, RunsAStudyOfOneDevice) {
  const TemporaryFolder folder = *TemporaryFolder::create();
  const std::string json = folder.path() + "/rows.jsonl";
  EXPECT_EQ(run_simulate("--study fairness --device A10G --setting S2 --json " + json), 0);
  const std::vector<Json> lines = lines_in(json);
  ASSERT_GT(lines.size(), 1u);
  EXPECT_EQ(lines[0]["study"], "fairness");
  for (std::size_t i = 1; i < lines.size(); ++i) EXPECT_EQ(lines[i]["clients"].size(), 2u);
}

TEST(BenchSimulate, RefusesWhatItCannotDoOrWouldIgnore) {
  EXPECT_EQ(run_simulate("--study none"), 1);
  EXPECT_EQ(run_simulate("--study abort --device H200"), 1);
  EXPECT_EQ(run_simulate("--study abort --rate 3"), -1);
  EXPECT_EQ(run_simulate("--study abort --policy fcfs"), -1);
  EXPECT_EQ(run_simulate("--seeds 2"), -1);
  EXPECT_EQ(run_simulate("--device A11"), 1);
  EXPECT_EQ(run_simulate("--setting S5"), 1);
  EXPECT_EQ(run_simulate("--policy none"), 1);
  EXPECT_EQ(run_simulate("--separate-adapter-memory 100GiB"), 1);
  EXPECT_EQ(run_simulate("--fit /nonexistent"), 1);
}

}  // namespace
}  // namespace slora
