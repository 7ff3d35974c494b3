#include "http/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

struct HttpExchangeTest : ::testing::Test {
  std::unique_ptr<HttpExchange> make(BodyForm form = BodyForm::chunked) {
    return std::make_unique<HttpExchange>(HttpRequest{"POST", "/p", {}, {}, {}, {}, {}, {}, {}}, reservation(10), form, shared,
                                          [this] { ++wakes; });
  }

  ByteReservation reservation(std::size_t bytes) {
    ByteReservation made = shared.memory.reservation_for(ClientId{1});
    EXPECT_TRUE(made.grow_to(bytes));
    return made;
  }

  HttpConnections shared{Door::main, HttpLimits{.request_memory_bytes = 50 << 10, .unsent_bytes_max = 1000}, Cors{}};
  int wakes = 0;
};

TEST_F(HttpExchangeTest, WritesAWholeAnswerOnce) {
  const auto exchange = make();
  HttpResponse response;
  response.body = "{}";
  exchange->respond(response);
  exchange->respond(response);
  EXPECT_EQ(wakes, 1);
  const std::string unsent = exchange->take_unsent();
  EXPECT_THAT(unsent, HasSubstr("Content-Length: 2\r\n"));
  EXPECT_THAT(unsent, EndsWith("\r\n\r\n{}"));
  EXPECT_TRUE(exchange->is_over());
}

TEST_F(HttpExchangeTest, LeavesOutTheBodyButNotItsSize) {
  const auto exchange = make(BodyForm::left_out);
  HttpResponse response;
  response.body = "{}";
  exchange->respond(response);
  const std::string unsent = exchange->take_unsent();
  EXPECT_THAT(unsent, HasSubstr("Content-Length: 2\r\n"));
  EXPECT_THAT(unsent, EndsWith("\r\n\r\n"));
}

TEST_F(HttpExchangeTest, SaysWhenToTryAgain) {
  HttpResponse refusal;
  refusal.status = 503;
  const auto early = make();
  early->respond(refusal);
  EXPECT_THAT(early->take_unsent(), HasSubstr("Retry-After: 1\r\n")) << "nothing is known yet";
  const auto time = std::chrono::steady_clock::now() + std::chrono::seconds(42);
  shared.retry_time = [&](const RefusedRequest& refused) {
    EXPECT_EQ(refused.status, 429);
    EXPECT_FALSE(refused.given_before);
    return time;
  };
  refusal.status = 429;
  const auto later = make();
  later->respond(refusal);
  EXPECT_THAT(later->take_unsent(), HasSubstr("Retry-After: 42\r\n"));
  EXPECT_EQ(later->retry_time(), time);
}

TEST_F(HttpExchangeTest, NamesNoMoreSecondsThanTheTimeWasAway) {
  shared.retry_time = [](const RefusedRequest&) { return std::chrono::steady_clock::now() + std::chrono::seconds(600); };
  HttpResponse refusal;
  refusal.status = 429;
  const auto refused = make();
  refused->respond(refusal);
  EXPECT_THAT(refused->take_unsent(), HasSubstr("Retry-After: 600\r\n"));
}

TEST_F(HttpExchangeTest, ForgetsWhenToTryAgainOnceItAnswers) {
  const auto time = std::chrono::steady_clock::now();
  const auto answered = make(), streamed = make();
  for (HttpExchange* exchange : {answered.get(), streamed.get()}) exchange->set_retry_time(time);
  answered->respond({});
  streamed->begin_stream("text/event-stream");
  for (HttpExchange* exchange : {answered.get(), streamed.get()}) EXPECT_FALSE(exchange->retry_time());
}

TEST_F(HttpExchangeTest, HasTheHeadersOfTheConnectionOnWholeAnswersAndStreams) {
  const auto whole = make(), stream = make();
  for (HttpExchange* exchange : {whole.get(), stream.get()}) exchange->set_headers({{"Access-Control-Allow-Origin", "*"}});
  whole->respond({});
  EXPECT_THAT(whole->take_unsent(), HasSubstr("Access-Control-Allow-Origin: *\r\n"));
  stream->begin_stream("text/event-stream");
  EXPECT_THAT(stream->take_unsent(), HasSubstr("Access-Control-Allow-Origin: *\r\n"));
}

TEST_F(HttpExchangeTest, StreamsInChunksAndEndsThem) {
  const auto exchange = make();
  exchange->begin_stream("text/event-stream");
  exchange->send("data: 1\n\n");
  exchange->end_stream();
  const std::string unsent = exchange->take_unsent();
  EXPECT_THAT(unsent, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(unsent, EndsWith("\r\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n"));
  EXPECT_EQ(exchange->phase(), HttpExchange::Phase::complete);
}

TEST_F(HttpExchangeTest, AnOldClientReadsItsStreamUntilTheConnectionCloses) {
  const auto exchange = make(BodyForm::until_close);
  exchange->set_use(ConnectionUse::keep_alive);
  exchange->begin_stream("text/event-stream");
  EXPECT_THAT(exchange->take_unsent(), HasSubstr("Connection: close")) << "a client that asked to keep it waits for its end";
  exchange->send("x");
  exchange->end_stream();
  EXPECT_EQ(exchange->take_unsent(), "x");
  EXPECT_EQ(exchange->use(), ConnectionUse::close);
}

TEST_F(HttpExchangeTest, ABrokenStreamHasNoLastChunk) {
  const auto exchange = make();
  exchange->begin_stream("text/event-stream");
  exchange->send("x");
  exchange->give_up();
  EXPECT_THAT(exchange->take_unsent(), EndsWith("1\r\nx\r\n"));
  EXPECT_EQ(exchange->phase(), HttpExchange::Phase::broken);
}

TEST_F(HttpExchangeTest, HoldsNoMoreThanItsBoundForASlowClient) {
  const auto exchange = make();
  exchange->begin_stream("text/event-stream");
  for (int i = 0; i < 100; ++i) exchange->send(std::string(100, 'x'));
  EXPECT_TRUE(exchange->overflowed());
  EXPECT_LE(exchange->take_unsent().size(), 1200u);
}

TEST_F(HttpExchangeTest, SendsOneEventOfAnyLengthToAClientThatKeepsUp) {
  const auto exchange = make();
  exchange->begin_stream("text/event-stream");
  (void)exchange->take_unsent();
  exchange->send(std::string(5000, 'x'));
  EXPECT_FALSE(exchange->overflowed());
  EXPECT_GT(exchange->take_unsent().size(), 5000u);
}

TEST_F(HttpExchangeTest, TellsOfAClientThatLeftUnlessTheAnswerIsComplete) {
  int gone = 0;
  const auto leaving = make();
  leaving->on_gone([&] { ++gone; });
  leaving->leave();
  leaving->leave();
  EXPECT_EQ(gone, 1);
  leaving->respond({});
  EXPECT_EQ(leaving->take_unsent(), "");

  const auto answered = make();
  answered->on_gone([&] { ++gone; });
  answered->respond({});
  answered->leave();
  EXPECT_EQ(gone, 1);
}

TEST_F(HttpExchangeTest, TheMemoryOfABodyMovesOnWithIt) {
  auto exchange = make();
  EXPECT_EQ(shared.memory.held_bytes(), 10u);
  {
    const RequestBody body = exchange->take_body();
    exchange.reset();
    EXPECT_EQ(shared.memory.held_bytes(), 10u);
  }
  EXPECT_EQ(shared.memory.held_bytes(), 0u);
}

TEST_F(HttpExchangeTest, UnsentBytesAreReservedUntilTheyAreWritten) {
  const auto exchange = make();
  exchange->begin_stream("text/event-stream");
  (void)exchange->take_unsent();
  exchange->send(std::string(20 << 10, 'x'));
  EXPECT_EQ(shared.memory.held_bytes(), 10u + (32 << 10));
  (void)exchange->take_unsent();
  EXPECT_GE(shared.memory.held_bytes(), 20u << 10) << "they are being written";
  (void)exchange->take_unsent();
  EXPECT_EQ(shared.memory.held_bytes(), 10u + (16 << 10));
}

TEST_F(HttpExchangeTest, AnAnswerThatDoesNotFitTheMemoryIs503) {
  const auto exchange = make();
  HttpResponse response;
  response.body = std::string(60 << 10, 'x');
  exchange->respond(response);
  const std::string unsent = exchange->take_unsent();
  EXPECT_THAT(unsent, ::testing::StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(unsent, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(unsent, EndsWith(R"("code":"out_of_memory"}})"));
}

TEST_F(HttpExchangeTest, AnAnswerThatIsGivenUpHasTheHeadersThatBrowsersLookFor) {
  const auto exchange = make();
  exchange->set_headers({{"Access-Control-Allow-Origin", "*"}, {"Vary", "Origin"}});
  exchange->give_up();
  const std::string unsent = exchange->take_unsent();
  EXPECT_THAT(unsent, HasSubstr("\r\nAccess-Control-Allow-Origin: *\r\nVary: Origin\r\n\r\n{"));
  EXPECT_THAT(unsent, EndsWith(R"("code":"out_of_memory"}})"));
}

TEST_F(HttpExchangeTest, ADrainingServerClosesAfterTheAnswer) {
  const auto exchange = make();
  shared.draining = true;
  exchange->respond({});
  EXPECT_THAT(exchange->take_unsent(), HasSubstr("Connection: close"));
}

}  // namespace
}  // namespace slora
