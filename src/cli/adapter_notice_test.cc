#include "cli/adapter_notice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "traces/testing/trace_collector.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

AdapterNotice notice_to(const TraceCollector& server, const std::string& key) {
  const std::string url = server.url();
  return AdapterNotice::create(url.substr(0, url.find("/v1")), key, "pirate").value();
}

TEST(AdapterNotice, AsksTheServerAsItsOperator) {
  const TraceCollector server({"201", "201"});
  ASSERT_TRUE(notice_to(server, "secret").load("/adapters/pirate"));
  EXPECT_THAT(server.head(), AllOf(HasSubstr("POST /v1/load_lora_adapter HTTP/1.1"), HasSubstr("Authorization: Bearer secret")));
  ASSERT_TRUE(notice_to(server, "").load("/adapters/pirate"));
  EXPECT_THAT(server.head(), ::testing::Not(HasSubstr("Authorization")));
}

TEST(AdapterNotice, SaysWhyTheServerRefuses) {
  const TraceCollector server({"403"}, R"({"error": {"message": "the path leads out"}})");
  const Status refused = notice_to(server, "").load("/elsewhere");
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("--load-into: 127.0.0.1:"), HasSubstr("answered 403: the path leads out")));
}

TEST(AdapterNotice, SaysThatNobodyListens) {
  const AdapterNotice notice = AdapterNotice::create("http://127.0.0.1:1", "", "pirate").value();
  EXPECT_EQ(notice.load("/adapters/pirate").error().code, "E_LOAD");
}

TEST(AdapterNotice, RefusesWhatIsNoUrlOrKey) {
  EXPECT_THAT(AdapterNotice::create("127.0.0.1:8000", "", "a").error().message, HasSubstr("--load-into: expected http://HOST:PORT"));
  EXPECT_THAT(AdapterNotice::create("https://host", "", "a").error().message, HasSubstr("there is no TLS"));
  EXPECT_THAT(AdapterNotice::create("http://host", "a\r\nb", "a").error().message, HasSubstr("--load-into-key"));
}

}  // namespace
}  // namespace slora
