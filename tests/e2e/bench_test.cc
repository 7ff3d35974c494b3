#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

Finished run_traffic(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"bench", "traffic", "--url", "http://127.0.0.1:" + std::to_string(demo_server().port())};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_slora(arguments);
}

TEST(BenchTraffic, CountsEveryTokenThatTheServerStreams) {
  const std::string path = ::testing::TempDir() + "traffic." + std::to_string(getpid()) + ".jsonl";
  const Finished finished = run_traffic({"--streams", "3", "--requests", "9", "--input-tokens", "16", "--output-tokens", "8",
                                         "--adapter-count", "4", "--vocabulary", "1700", "--json", path});
  EXPECT_EQ(finished.exit_code, 0) << finished.output;
  std::ifstream file(path);
  std::string machine, line;
  std::getline(file, machine);
  std::getline(file, line);
  std::filesystem::remove(path);
  const Json run = Json::parse(line, nullptr, false);
  ASSERT_TRUE(run.is_object()) << line;
  EXPECT_EQ(run["errors"], 0);
  EXPECT_EQ(run["output_tokens"], 9 * 8);
  EXPECT_EQ(run["first_token_seconds"]["count"], 9);
  EXPECT_EQ(run["next_token_seconds"]["count"], 9 * 7);
}

TEST(BenchTraffic, NamesTheFirstRefusal) {
  const Finished finished =
      run_traffic({"--requests", "2", "--streams", "1", "--input-tokens", "64", "--output-tokens", "100000", "--vocabulary", "1700"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, AllOf(HasSubstr("errors       2"), HasSubstr("max_tokens")));
}

TEST(BenchTraffic, KeepsToTheVocabularyOfTheModel) {
  const std::string path = ::testing::TempDir() + "traffic." + std::to_string(getpid()) + ".jsonl";
  const std::vector<std::string> arguments = {"bench",           "traffic", "--model",    source_path("demo/model"),
                                              "--pool-memory",   "16MiB",   "--requests", "3",
                                              "--output-tokens", "4",       "--json",     path};
  const Finished finished = run_slora(arguments);
  EXPECT_EQ(finished.exit_code, 0) << finished.output;
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  std::filesystem::remove(path);
  const Json head = Json::parse(line, nullptr, false);
  ASSERT_TRUE(head.is_object()) << line;
  EXPECT_EQ(head["options"]["vocabulary"], 1722);
  std::vector<std::string> beyond = arguments;
  beyond.insert(beyond.end(), {"--vocabulary", "1723"});
  const Finished refused = run_slora(beyond);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("--vocabulary: expected at most the 1722 tokens of the model, found 1723"));
}

TEST(BenchTraffic, SaysWhatIsMissing) {
  const Finished adapters = run_traffic({"--requests", "2", "--adapter-count", "400", "--vocabulary", "1700"});
  EXPECT_EQ(adapters.exit_code, 1);
  EXPECT_THAT(adapters.output, AllOf(HasSubstr("--adapter-count"), HasSubstr("400")));
  const Finished server = run_slora({"bench", "traffic", "--url", "http://127.0.0.1:1", "--requests", "2"});
  EXPECT_EQ(server.exit_code, 1);
  EXPECT_THAT(server.output, HasSubstr("no connection to 127.0.0.1:1"));
}

}  // namespace
}  // namespace slora
