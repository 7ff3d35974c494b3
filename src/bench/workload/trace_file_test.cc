#include "bench/workload/trace_file.h"

#include <gtest/gtest.h>

#include "bench/workload/workload.h"
#include "formats/temporary_folder.h"

namespace slora::bench {
namespace {

TEST(TraceFile, ReadsWhatItWroteToTheSameBits) {
  const TemporaryFolder folder;
  WorkloadOptions options;
  options.client_weights = {1, 2};
  const Trace written = *make_workload(options);
  ASSERT_TRUE(write_trace(folder.file("t.jsonl"), written));
  const Result<Trace> read = read_trace(folder.file("t.jsonl"));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->adapter_count, written.adapter_count);
  EXPECT_EQ(read->seconds, written.seconds);
  ASSERT_EQ(read->requests.size(), written.requests.size());
  for (std::size_t i = 0; i < written.requests.size(); ++i) {
    EXPECT_EQ(read->requests[i].arrival, written.requests[i].arrival);
    EXPECT_EQ(read->requests[i].adapter, written.requests[i].adapter);
    EXPECT_EQ(read->requests[i].client, written.requests[i].client);
    EXPECT_EQ(read->requests[i].input_tokens, written.requests[i].input_tokens);
    EXPECT_EQ(read->requests[i].output_tokens, written.requests[i].output_tokens);
  }
}

TEST(TraceFile, SaysWhichLineAndFieldIsWrong) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& lines) {
    const Result<Trace> trace = read_trace(folder.write("t.jsonl", lines));
    return trace ? "none" : trace.error().message;
  };
  const std::string head = R"({"trace":1,"adapters":2,"seconds":10})"
                           "\n";
  const std::string good = R"({"arrival":1,"adapter":1,"client":0,"input_tokens":5,"output_tokens":6})"
                           "\n";
  EXPECT_EQ(refusal(head + good + "\r\n" + good), "none");
  EXPECT_TRUE(refusal("").ends_with("expected a trace, found an empty file"));
  EXPECT_TRUE(refusal(good).starts_with(R"(t.jsonl, line 1: expected {"trace": 1, "adapters": N, "seconds": S} first)")) << refusal(good);
  EXPECT_TRUE(refusal(R"({"trace":2,"adapters":2,"seconds":10})").starts_with("t.jsonl, line 1: "));
  EXPECT_TRUE(refusal(head + good + "{").starts_with("t.jsonl, line 3: "));
  EXPECT_EQ(refusal(head + "[]"), "t.jsonl, line 2: expected an object, found an array");
  EXPECT_EQ(refusal(head + good + R"({"arrival":0.5,"adapter":1,"client":0,"input_tokens":5,"output_tokens":6})"),
            "t.jsonl, line 3: arrival: expected a number of seconds from 1, found 0.5");
  EXPECT_EQ(refusal(head + R"({"arrival":11,"adapter":1,"client":0,"input_tokens":5,"output_tokens":6})"),
            "t.jsonl, line 2: arrival: expected at most the trace's 10 seconds, found 11");
  EXPECT_EQ(refusal(head + R"({"arrival":1,"adapter":2,"client":0,"input_tokens":5,"output_tokens":6})"),
            "t.jsonl, line 2: adapter: expected an integer from -1 to 1, found 2");
  EXPECT_EQ(refusal(head + R"({"arrival":1,"adapter":1,"client":0,"input_tokens":0,"output_tokens":6})"),
            "t.jsonl, line 2: input_tokens: expected an integer from 1 to 16777216, found 0");
  EXPECT_NE(refusal(head + R"({"arrival":1,"adapter":1,"client":0,"input_tokens":5})").find("line 2: "), std::string::npos);
  EXPECT_NE(refusal(head + R"({"arrival":1,"adapter":1,"client":0,"input_tokens":5})").find("output_tokens"), std::string::npos);
}

TEST(TraceFile, ReadsLinesThatLieAcrossPieces) {
  const TemporaryFolder folder;
  WorkloadOptions options;
  options.rate = 200;
  const Trace written = *make_workload(options);
  ASSERT_TRUE(write_trace(folder.file("t.jsonl"), written));
  const Result<Trace> read = read_trace(folder.file("t.jsonl"));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->requests.size(), written.requests.size());
  EXPECT_GT(written.requests.size() * 60, std::size_t{3} << 20) << "several pieces of 1 MiB";
}

TEST(TraceFile, SaysWhereItCannotWrite) {
  EXPECT_EQ(write_trace("/nowhere/t.jsonl", {}).error().message, "/nowhere/t.jsonl can't be written");
  EXPECT_FALSE(write_trace("/dev/full", {}));
  EXPECT_FALSE(read_trace("/nowhere/t.jsonl"));
}

}  // namespace
}  // namespace slora::bench
