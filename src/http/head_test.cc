#include "http/head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string code_of(std::string_view head, const HttpLimits& limits = {}) {
  const Status status = check_request_head(head, limits);
  return status ? "" : status.error().code;
}

TEST(RequestHead, EndsAtTheEmptyLine) {
  EXPECT_EQ(find_head_end("GET / HTTP/1.1\r\n\r\nbody"), 18u);
  EXPECT_EQ(find_head_end("GET / HTTP/1.1\r\n"), std::nullopt);
}

TEST(RequestHead, TakesWhatOrdinaryClientsSend) {
  EXPECT_EQ(code_of("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"), "");
  EXPECT_EQ(code_of("POST /v1/completions?x=1 HTTP/1.1\r\nhost: a\r\nContent-Length:  12 \r\n\r\n"), "");
  EXPECT_EQ(code_of("POST /v1/completions HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n"), "");
  EXPECT_EQ(code_of("GET / HTTP/1.0\r\n\r\n"), "");
}

TEST(RequestHead, RefusesWhatParsersReadDifferently) {
  const std::string start = "POST /v1/completions HTTP/1.1\r\nHost: a\r\n";
  for (const std::string& fields : {
           std::string("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
           std::string("Content-Length: 5\r\nContent-Length: 5\r\n"),
           std::string("Content-Length: +5\r\n"),
           std::string("Content-Length: -2\r\n"),
           std::string("Content-Length: 0x5\r\n"),
           std::string("Content-Length: 5, 5\r\n"),
           std::string("Content-Length: 99999999999999999\r\n"),
           std::string("Content-Length:\r\n"),
           std::string("Transfer-Encoding: gzip, chunked\r\n"),
           std::string("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
           std::string("Transfer-Encoding: xchunked\r\n"),
           std::string("Name : value\r\n"),
           std::string("Name: a\r\n folded\r\n"),
           std::string("Name: a\n\r\n"),
           std::string("Name: a\rb\r\n"),
           std::string("Name: a\0b\r\n", 12),
           std::string("Host: b\r\n"),
           std::string("no colon\r\n"),
           std::string(": empty name\r\n"),
       }) {
    EXPECT_EQ(code_of(start + fields + "\r\n"), "bad_request") << fields;
  }
  EXPECT_EQ(code_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), "bad_request");
}

TEST(RequestHead, RefusesOddRequestLines) {
  for (const char* line : {"GET", "GET /", "GET / HTTP/2", "GET / HTTP/1.10", "GET  / HTTP/1.1", "GET /a b HTTP/1.1", "G(T / HTTP/1.1",
                           "GET http://a/ HTTP/1.1", "GET * HTTP/1.1", " / HTTP/1.1"}) {
    EXPECT_EQ(code_of(std::string(line) + "\r\nHost: a\r\n\r\n"), "bad_request") << line;
  }
  EXPECT_EQ(code_of("GET / HTTP/1.1\r\n\r\n"), "bad_request") << "no Host";
}

TEST(RequestHead, BoundsLineLengthAndFieldCount) {
  HttpLimits limits;
  EXPECT_EQ(code_of("GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", limits), "uri_too_long");
  std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 63; ++i) head += "a: b\r\n";
  EXPECT_EQ(code_of(head + "\r\n", limits), "");
  EXPECT_EQ(code_of(head + "a: b\r\n\r\n", limits), "head_too_large");
}

TEST(RequestHead, PathIsTheRawTargetBeforeTheQuery) {
  EXPECT_EQ(path_of("/v1/models?a=/b"), "/v1/models");
  EXPECT_EQ(path_of("/v1%2fmodels"), "/v1%2fmodels");
  EXPECT_EQ(path_of("//v1/../models"), "//v1/../models");
}

TEST(RequestId, KeepsOnlyHarmlessCharactersAndABoundedLength) {
  EXPECT_EQ(clean_request_id("req-1_a.b:C"), "req-1_a.b:C");
  EXPECT_EQ(clean_request_id("a b\"<>\xc3\xa4"
                             "c"),
            "abc");
  EXPECT_EQ(clean_request_id(std::string(1000, 'x')).size(), 128u);
}

TEST(ResponseHead, SaysHowTheBodyEnds) {
  HttpResponse response;
  response.body = "12345";
  response.headers = {{"Retry-After", "1"}};
  const std::string sized = format_response_head({response, "id-7", BodyForm::sized, ConnectionUse::keep_alive});
  EXPECT_THAT(sized, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(sized, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(sized, HasSubstr("Retry-After: 1\r\n"));
  EXPECT_THAT(sized, HasSubstr("x-request-id: id-7\r\n"));
  EXPECT_THAT(sized, Not(HasSubstr("Connection")));
  EXPECT_THAT(sized, ::testing::EndsWith("\r\n\r\n"));

  const std::string chunked = format_response_head({response, "", BodyForm::chunked, ConnectionUse::close});
  EXPECT_THAT(chunked, HasSubstr("Transfer-Encoding: chunked\r\nConnection: close\r\n"));
  EXPECT_THAT(chunked, Not(HasSubstr("Content-Length")));
  EXPECT_THAT(format_response_head({response, "", BodyForm::until_close, ConnectionUse::keep_alive}), HasSubstr("Connection: close"));
}

TEST(ResponseHead, GivesNoLengthToAnAnswerThatHasNoBody) {
  HttpResponse response;
  response.status = 304;
  response.content_type = "";
  for (const BodyForm form : {BodyForm::sized, BodyForm::left_out}) {
    const std::string head = format_response_head({response, "", form, ConnectionUse::keep_alive});
    EXPECT_THAT(head, HasSubstr("HTTP/1.1 304 Not Modified\r\n"));
    EXPECT_THAT(head, Not(HasSubstr("Content-Length")));
  }
}

TEST(Chunk, CarriesItsLengthInHexadecimal) {
  std::string out;
  append_chunk(out, std::string(26, 'a'));
  EXPECT_EQ(out, "1a\r\n" + std::string(26, 'a') + "\r\n");
}

}  // namespace
}  // namespace slora
