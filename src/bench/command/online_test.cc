#include "bench/command/online.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bench/workload/trace_file.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

TEST(WorkloadOptions, TakeLengthsAsARangeOrAsOne) {
  EXPECT_EQ(parse_length_range("8:512", "-").value().max, 512);
  EXPECT_EQ(parse_length_range("100", "-").value().min, 100);
  EXPECT_EQ(parse_length_range("100", "-").value().max, 100);
  for (const char* text : {"", ":", "8:", ":8", "9:8", "0:5", "8:512:3", "8-9", "a", "1.5", "99999999999"}) {
    EXPECT_EQ(parse_length_range(text, "--input-tokens").error().message,
              fmt::format("--input-tokens: expected MIN:MAX, two numbers of tokens, or one; found {}", text));
  }
}

TEST(WorkloadOptions, NameAdaptersByAPattern) {
  EXPECT_EQ(names_by_pattern("a{}b", 3).value(), (std::vector<std::string>{"a0b", "a1b", "a2b"}));
  EXPECT_FALSE(names_by_pattern("a", 3));
  EXPECT_FALSE(names_by_pattern("{}{}", 3));
}

TEST(WorkloadOptions, StretchATraceToTheRate) {
  const TemporaryFolder folder;
  WorkloadArguments arguments;
  arguments.trace = folder.file("t.jsonl");
  const bench::Trace written = *bench::make_workload({});
  ASSERT_TRUE(bench::write_trace(arguments.trace, written));
  const Result<TraceSource> source = TraceSource::create(arguments);
  ASSERT_TRUE(source) << source.error().message;
  const Result<bench::Trace> same = source->make(std::nullopt), faster = source->make(8);
  ASSERT_TRUE(same && faster);
  EXPECT_EQ(same->seconds, 300);
  EXPECT_NEAR(static_cast<double>(faster->requests.size()) / faster->seconds, 8, 1e-9);
  const double factor = faster->seconds / 300;
  for (std::size_t i = 0; i < written.requests.size(); ++i) {
    EXPECT_NEAR(faster->requests[i].arrival, written.requests[i].arrival * factor, 1e-9);
  }
  EXPECT_EQ(source->description()["trace"], arguments.trace);
}

TEST(WorkloadOptions, MakeWhatTheyDescribe) {
  WorkloadArguments arguments;
  arguments.kind = "slora-release";
  arguments.input_tokens = "20:40";
  const Result<TraceSource> source = TraceSource::create(arguments);
  ASSERT_TRUE(source);
  EXPECT_EQ(source->make(std::nullopt)->requests.size(), 600u);
  EXPECT_EQ(source->make(3)->requests.size(), 900u);
  EXPECT_EQ(source->description()["workload"], "slora-release");
  EXPECT_EQ(source->description()["input_tokens"], (Json{20, 40}));
}

TEST(WorkloadOptions, SayWhichFileIsWrong) {
  const TemporaryFolder folder;
  WorkloadArguments arguments;
  arguments.trace = folder.write("t.jsonl", "{}");
  EXPECT_TRUE(TraceSource::create(arguments).error().message.starts_with("--trace: t.jsonl, line 1: "));
  arguments.trace.clear();
  arguments.log = folder.write("l.jsonl", "{}");
  EXPECT_TRUE(TraceSource::create(arguments).error().message.starts_with("--log: l.jsonl, line 1: "));
}

int parse_online(const std::string& words) {
  CLI::App app;
  BenchOnlineArguments arguments;
  add_bench_online(app, arguments);
  try {
    app.parse(words);
  } catch (const CLI::ParseError& failed) {
    return failed.get_exit_code();
  }
  return 0;
}

TEST(BenchOnline, RefusesOptionsThatContradictEachOther) {
  EXPECT_EQ(parse_online("online --rates 1,2,4 --clients 1,2 --cv 4"), 0);
  EXPECT_EQ(parse_online("online --trace t.jsonl --rates 1,2"), 0);
  EXPECT_EQ(parse_online("online --trace t.jsonl --seed 7"), 0) << "the report says so when prompts were cached";
  EXPECT_EQ(parse_online("online --log l.jsonl --rate 3 --seconds 60 --find-saturation"), 0);
  for (const char* words : {"online --trace t.jsonl --rate 2", "online --trace t.jsonl --log l.jsonl",
                            "online --rates 1,2 --find-saturation", "online --rate nan", "online --rate 0", "online --workload poisson",
                            "online --attainment 1.5", "online --prompt-form words", "online --log l.jsonl --clients 1,2"}) {
    EXPECT_NE(parse_online(words), 0) << words;
  }
}

}  // namespace
}  // namespace slora
