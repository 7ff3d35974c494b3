#include "bench/traffic_answer.h"

#include <gtest/gtest.h>

#include <string>

namespace slora::bench {
namespace {

constexpr std::string_view kResponseHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr std::string_view kToken = R"(data: {"id":"cmpl-1","choices":[{"index":0,"text":"\r\n0"}]})"
                                    "\n\n";
constexpr std::string_view kUsage =
    R"(data: {"id":"cmpl-1","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":16}}})"
    "\n\n";

std::string chunk(std::string_view bytes) { return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes); }

// Pushes `bytes` in pieces of `piece_bytes`; returns the tokens counted, or -1 after an error.
std::int32_t push_all(TrafficAnswer& answer, std::string_view bytes, std::size_t piece_bytes) {
  std::int32_t count = 0;
  for (std::size_t at = 0; at < bytes.size(); at += piece_bytes) {
    const Result<std::int32_t> tokens = answer.push(bytes.substr(at, piece_bytes));
    if (!tokens) return -1;
    count += *tokens;
  }
  return count;
}

TEST(TrafficAnswer, CountsTokensHoweverTheBytesAreCut) {
  const std::string whole =
      fmt::format("{}{}{}{}{}0\r\n\r\n", kResponseHead, chunk(kToken), chunk(kToken), chunk(kUsage), chunk("data: [DONE]\n\n"));
  for (std::size_t piece_bytes = 1; piece_bytes <= whole.size(); ++piece_bytes) {
    TrafficAnswer answer;
    EXPECT_EQ(push_all(answer, whole, piece_bytes), 2) << piece_bytes;
    EXPECT_TRUE(answer.is_over());
    EXPECT_EQ(answer.status(), 200);
    EXPECT_EQ(answer.prompt_tokens(), 20);
    EXPECT_EQ(answer.output_tokens(), 2);
    EXPECT_EQ(answer.cached_tokens(), 16);
  }
}

TEST(TrafficAnswer, CountsTokensOfEventsThatShareAChunkOrAreCutByOne) {
  const std::string events = fmt::format("{}{}", kToken, kToken);
  TrafficAnswer answer;
  const std::string bytes =
      fmt::format("{}{}{}", kResponseHead, chunk(events + std::string(kToken.substr(0, 10))), chunk(kToken.substr(10)));
  EXPECT_EQ(push_all(answer, bytes, bytes.size()), 3);
  EXPECT_FALSE(answer.is_over());
}

TEST(TrafficAnswer, TellsWhatTheServerRefused) {
  TrafficAnswer answer;
  ASSERT_TRUE(answer.push("HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nno "));
  const Result<std::int32_t> tokens = answer.push("model!");
  ASSERT_FALSE(tokens);
  EXPECT_EQ(tokens.error().message, "404: no model!");
  EXPECT_EQ(answer.status(), 404);
}

TEST(TrafficAnswer, TellsOfAnErrorInTheStream) {
  TrafficAnswer answer;
  const Result<std::int32_t> tokens =
      answer.push(fmt::format("{}{}", kResponseHead, chunk("data: {\"error\":{\"message\":\"full\"}}\n\n")));
  ASSERT_FALSE(tokens);
  EXPECT_NE(tokens.error().message.find("full"), std::string::npos);
}

TEST(TrafficAnswer, RefusesBrokenAnswers) {
  for (const std::string& bytes :
       {std::string("SSH-2.0-OpenSSH\r\n\r\n"), std::string("HTTP/1.1 200 OK\r\n\r\n"), fmt::format("{}zz\r\n", kResponseHead),
        fmt::format("{}1\r\nab\r\n", kResponseHead), fmt::format("{}0\r\n\r\nmore", kResponseHead),
        std::string("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"), std::string("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n")}) {
    TrafficAnswer answer;
    EXPECT_EQ(push_all(answer, bytes, bytes.size()), -1) << bytes;
  }
}

TEST(TrafficAnswer, SaysWhatItMissesWhereOnlyTheEndOfTheConnectionEndsTheAnswer) {
  TrafficAnswer answer;
  const Result<std::int32_t> tokens = answer.push("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: [DONE]\n\n");
  ASSERT_FALSE(tokens);
  EXPECT_EQ(tokens.error().message, "the answer is broken: expected chunks or a Content-Length, found neither");
}

TEST(TrafficAnswer, RefusesUsageOfOtherTypes) {
  for (const std::string_view usage :
       {"null", "7", "[]", R"({"completion_tokens":"2"})", R"({"completion_tokens":2.5})", R"({"prompt_tokens":"20"})",
        R"({"prompt_tokens_details":[16]})", R"({"prompt_tokens_details":{"cached_tokens":true}})"}) {
    TrafficAnswer answer;
    EXPECT_FALSE(answer.push(fmt::format("{}{}", kResponseHead, chunk(fmt::format("data: {{\"choices\":[],\"usage\":{}}}\n\n", usage)))))
        << usage;
  }
}

TEST(TrafficAnswer, TakesUsageThatLeavesOutWhatIsNotCounted) {
  for (const std::string_view usage :
       {R"({})", R"({"prompt_tokens_details":null})", R"({"completion_tokens":null,"prompt_tokens_details":{}})"}) {
    TrafficAnswer answer;
    EXPECT_TRUE(answer.push(fmt::format("{}{}", kResponseHead, chunk(fmt::format("data: {{\"choices\":[],\"usage\":{}}}\n\n", usage)))))
        << usage;
    EXPECT_EQ(answer.output_tokens(), 0);
    EXPECT_EQ(answer.cached_tokens(), 0);
  }
}

}  // namespace
}  // namespace slora::bench
