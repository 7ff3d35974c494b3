#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/demo_server.h"

namespace slora {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

TEST(Protocol, CheapPathsAnswer) {
  EXPECT_EQ(get(demo_server().port(), "/health").status, 200);
  EXPECT_EQ(get(demo_server().port(), "/ping").status, 200);
  EXPECT_EQ(get(demo_server().port(), "/version").json()["version"], "0.1.0");
}

TEST(Protocol, PathsAreExact) {
  for (const char* path : {"/v1", "/v1/models/", "//v1/models", "/v1/../v1/models", "/v1%2fmodels", "/health%00"}) {
    EXPECT_EQ(get(demo_server().port(), path).status, 404) << path;
  }
  EXPECT_EQ(get(demo_server().port(), "/v1/models?limit=3").status, 200);
  const Reply wrong = get(demo_server().port(), "/v1/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "POST");
}

TEST(Protocol, TheRootAnswersALoadBalancer) {
  const Reply root = get(demo_server().port(), "/");
  EXPECT_EQ(root.status, 200);
  EXPECT_EQ(root.json()["server"], "slora");
  Connection connection(demo_server().port());
  connection.send("HEAD / HTTP/1.1\r\nHost: 10.0.0.7\r\n\r\n");
  EXPECT_THAT(connection.read_until("\r\n\r\n"), HasSubstr("200 OK"));
}

TEST(Protocol, AServerWithoutKeysIsForThisMachine) {
  const auto status_of = [](const std::string& head) {
    Connection connection(demo_server().port());
    connection.send(head + "\r\n");
    return connection.read_reply().status;
  };
  EXPECT_EQ(status_of("GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n"), 403);
  EXPECT_EQ(status_of("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n"), 403);
  EXPECT_EQ(status_of("GET /health HTTP/1.1\r\nHost: evil.example\r\n"), 200);
  EXPECT_EQ(status_of("POST /flush_cache HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n"), 403);
  EXPECT_EQ(status_of("OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a.example\r\n"), 405) << "no --allowed-origins";
}

TEST(Protocol, AConnectionServesManyRequests) {
  Connection connection(demo_server().port());
  const std::string request = "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n";
  connection.send(request + request + request);  // pipelined
  for (int i = 0; i < 3; ++i) EXPECT_EQ(connection.read_reply().status, 200);
  connection.send_request("POST", "/v1/completions", R"({"prompt":"a","max_tokens":2,"stream":true})");
  EXPECT_TRUE(connection.read_reply().is_whole);
  connection.send(request);
  EXPECT_EQ(connection.read_reply().status, 200);
}

TEST(Protocol, HeadIsAnsweredWithoutABody) {
  Connection connection(demo_server().port());
  for (const char* path : {"/version", "/nothing", "/v1/completions"}) {
    connection.send("HEAD " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\nGET /version HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_THAT(connection.read_until("\r\n\r\n"), HasSubstr("Content-Length: ")) << path;
    connection.drop_head();
    const Reply next = connection.read_reply();
    EXPECT_EQ(next.status, 200) << "the next answer begins right behind the head: " << path;
    EXPECT_EQ(next.json()["version"], "0.1.0") << path;
  }
}

TEST(Protocol, AnOldClientThatKeepsItsConnectionSeesTheEndOfAStream) {
  const std::string body = R"({"prompt":"a","max_tokens":2,"stream":true})";
  Connection connection(demo_server().port());
  connection.send("POST /v1/completions HTTP/1.0\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: " +
                  std::to_string(body.size()) + "\r\n\r\n" + body);
  const std::string answer = connection.read_until("no such text");
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_THAT(answer, EndsWith("data: [DONE]\n\n"));
}

TEST(Protocol, TakesHeadsUpToItsLimit) {
  EXPECT_EQ(get(demo_server().port(), "/version", {"A: " + std::string(12 << 10, 'a')}).status, 200);
}

TEST(Protocol, EchoesTheRequestIdWithoutTrustingIt) {
  EXPECT_EQ(get(demo_server().port(), "/ping", {"X-Request-Id: abc-1"}).headers.at("x-request-id"), "abc-1");
  EXPECT_EQ(get(demo_server().port(), "/ping", {"X-Request-Id: a<b>\"" + std::string(300, 'c')}).headers.at("x-request-id").size(), 125u);
}

TEST(Protocol, RefusesWhatCouldSmuggleARequest) {
  const std::string hidden = "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (const std::string fields :
       {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: +5\r\n",
        "Transfer-Encoding: chunked, identity\r\n", "Content-Length : 5\r\n", "A: b\r\n c\r\n", "A: b\nB: c\r\n"}) {
    Connection connection(demo_server().port());
    connection.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n0\r\n\r\n" + hidden);
    const Reply reply = connection.read_reply();
    EXPECT_EQ(reply.status, 400) << fields;
    EXPECT_EQ(reply.headers.at("connection"), "close") << fields;
    EXPECT_EQ(connection.read_reply().status, 0) << "the hidden request is never answered: " << fields;
  }
}

TEST(Protocol, TakesChunkedBodiesAndExpectations) {
  const std::string body = R"({"prompt":"a","max_tokens":1})";
  Connection chunked(demo_server().port());
  chunked.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const char c : body) chunked.send("1\r\n" + std::string(1, c) + "\r\n");
  chunked.send("0\r\n\r\n");
  EXPECT_EQ(chunked.read_reply().status, 200);

  for (const std::string expectation : {"100-continue", "100-Continue"}) {
    Connection expecting(demo_server().port());
    expecting.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
                   "\r\nContent-Type: Application/JSON; charset=utf-8\r\nExpect: " + expectation + "\r\n\r\n");
    EXPECT_THAT(expecting.read_until("\r\n\r\n"), HasSubstr("100 Continue"));
    expecting.send(body);
    EXPECT_THAT(expecting.read_until("text_completion"), HasSubstr("200 OK"));
  }
}

TEST(Protocol, BreaksOffBrokenChunks) {
  for (const char* chunk : {"-2\r\nab\r\n", "0x2\r\nab\r\n0\r\n\r\n", "zz\r\n", "fffffffffffffffff\r\n", "00000000000000002\r\nab\r\n"}) {
    Connection connection(demo_server().port());
    connection.send(std::string("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n") + chunk);
    EXPECT_THAT(connection.read_reply().status, ::testing::AnyOf(400, 413)) << chunk;
  }
}

TEST(Protocol, AnswersWhatIsTooLongAfterTheLastChunk) {
  for (const std::size_t bytes : {std::size_t{20} << 10, std::size_t{80} << 10}) {
    Connection connection(demo_server().port());
    connection.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " +
                    std::string(bytes, 'b') + "\r\n\r\n");
    EXPECT_EQ(connection.read_reply().status, 400) << bytes;
  }
}

TEST(Protocol, BoundsHeadsAndBodies) {
  Connection large(demo_server().port());
  large.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n");
  EXPECT_EQ(large.read_reply().status, 413);
  Connection endless(demo_server().port());
  endless.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 100; ++i) endless.send("10000\r\n" + std::string(65536, 'a') + "\r\n");
  EXPECT_EQ(endless.read_reply().status, 413);
  EXPECT_EQ(get(demo_server().port(), "/" + std::string(9000, 'a')).status, 414);
  EXPECT_EQ(get(demo_server().port(), "/version", {"A: " + std::string(20000, 'a')}).status, 431);
  EXPECT_EQ(get(demo_server().port(), "/version", std::vector<std::string>(80, "a: b")).status, 431);
}

TEST(Protocol, RefusesBodiesOfAnotherType) {
  for (const std::string type :
       {"Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: application/jsonp\r\n", ""}) {
    Connection connection(demo_server().port());
    connection.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n" + type + "Content-Length: 2\r\n\r\n{}");
    EXPECT_EQ(connection.read_reply().status, 415) << type;
  }
}

}  // namespace
}  // namespace slora
