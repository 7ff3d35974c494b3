#include "http/body_decoder.h"

#include <gtest/gtest.h>

#include <string>

namespace slora {
namespace {

const HttpLimits kBodyLimits{.head_bytes_max = 100, .body_bytes_max = 20};

// The code of the error; "done" or "open" without one. Byte by byte, so that every cut is tried.
std::string outcome_of(BodyDecoder decoder, std::string_view bytes, std::string* body = nullptr) {
  for (const char c : bytes) {
    const Result<std::size_t> taken = decoder.take({&c, 1});
    if (!taken) return taken.error().code;
    if (*taken == 0) break;
  }
  if (body != nullptr) *body = decoder.body();
  return decoder.is_done() ? "done" : "open";
}

std::string outcome_of_chunks(std::string_view bytes, std::string* body = nullptr) {
  const std::string in_pieces = outcome_of(BodyDecoder::of_chunks(kBodyLimits), bytes, body);
  BodyDecoder at_once = BodyDecoder::of_chunks(kBodyLimits);
  const Result<std::size_t> taken = at_once.take(bytes);
  EXPECT_EQ(in_pieces, taken ? (at_once.is_done() ? "done" : "open") : taken.error().code) << bytes;
  return in_pieces;
}

TEST(BodyDecoder, TakesAsManyBytesAsWereAnnounced) {
  BodyDecoder decoder = BodyDecoder::of_size(3, kBodyLimits);
  EXPECT_EQ(decoder.take("ab"), 2u);
  EXPECT_FALSE(decoder.is_done());
  EXPECT_EQ(decoder.take("cGET / "), 1u) << "what follows is the next request's";
  EXPECT_TRUE(decoder.is_done());
  EXPECT_EQ(decoder.body(), "abc");
  EXPECT_TRUE(BodyDecoder::of_size(0, kBodyLimits).is_done());
}

TEST(BodyDecoder, JoinsChunksAndDropsTheirExtensionsAndTheTrailer) {
  std::string body;
  EXPECT_EQ(outcome_of_chunks("3\r\nabc\r\n0A;name=value\r\n0123456789\r\n0\r\n\r\n", &body), "done");
  EXPECT_EQ(body, "abc0123456789");
  EXPECT_EQ(outcome_of_chunks("1\r\na\r\n0\r\nDigest: x\r\nB: y\r\n\r\n", &body), "done");
  EXPECT_EQ(body, "a");
  EXPECT_EQ(BodyDecoder::of_chunks(kBodyLimits).take("0\r\n\r\nGET / "), 5u) << "what follows is the next request's";
}

TEST(BodyDecoder, RefusesWhatAProxyCouldReadDifferently) {
  for (const char* chunks : {"\r\n",
                             "-2\r\nab\r\n",
                             "+2\r\nab\r\n",
                             "0x2\r\nab\r\n",
                             "zz\r\n",
                             "2\nab\r\n",
                             "2 \r\nab\r\n",
                             " 2\r\nab\r\n",
                             "2\r\nabc\r\n",
                             "2\r\nab\n0\r\n\r\n",
                             "2\r\nab\rx",
                             "00000000000000002\r\nab\r\n",
                             "fffffffffffffffff\r\n",
                             "2;a\x01\r\nab\r\n",
                             "2;a\n\r\nab\r\n",
                             "0\r\nA : b\r\n\r\n",
                             "0\r\nA: b\r\n c\r\n\r\n",
                             "0\r\nA: b\nB: c\r\n\r\n",
                             "0\r\nContent-Length: 5\r\n\r\n",
                             "0\r\ntransfer-encoding: chunked\r\n\r\n",
                             "0\r\nHost: b\r\n\r\n"}) {
    EXPECT_EQ(outcome_of_chunks(chunks), "bad_request") << chunks;
  }
}

TEST(BodyDecoder, BoundsBodyExtensionsAndTrailer) {
  EXPECT_EQ(outcome_of_chunks("14\r\n01234567890123456789\r\n0\r\n\r\n"), "done");
  EXPECT_EQ(outcome_of_chunks("15\r\n"), "request_too_large");
  EXPECT_EQ(outcome_of_chunks("a\r\n0123456789\r\nb\r\n"), "request_too_large");
  EXPECT_EQ(outcome_of_chunks("ffffffffffffffff\r\n"), "request_too_large");
  EXPECT_EQ(outcome_of_chunks("1;" + std::string(200, 'a')), "bad_request");
  EXPECT_EQ(outcome_of_chunks("0\r\nA: " + std::string(200, 'a') + "\r\n\r\n"), "bad_request");
  const std::string extended = "1;" + std::string(40, 'a') + "\r\nx\r\n";
  EXPECT_EQ(outcome_of_chunks(extended + extended), "open");
  EXPECT_EQ(outcome_of_chunks(extended + extended + extended), "bad_request") << "all of them together";
}

}  // namespace
}  // namespace slora
