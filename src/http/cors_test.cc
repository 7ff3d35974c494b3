#include "http/cors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

TEST(Cors, IsOffByDefault) {
  const Cors cors;
  EXPECT_FALSE(cors.is_on());
  EXPECT_FALSE(cors.allows("https://a.example"));
  EXPECT_THAT(cors.answer_headers("https://a.example"), IsEmpty());
}

TEST(Cors, NamesTheOriginThatItAllows) {
  const Cors cors({.origins = {"https://a.example", "http://localhost:3000"}});
  EXPECT_THAT(cors.answer_headers("http://localhost:3000"), Contains(Pair("Access-Control-Allow-Origin", "http://localhost:3000")));
  for (const char* other : {"https://b.example", "http://a.example", "https://a.example:8443", "https://a.example.evil.com", "null", "*"}) {
    EXPECT_THAT(cors.answer_headers(other), ElementsAre(Pair("Vary", "Origin"))) << "so that no cache gives it to another page: " << other;
    EXPECT_EQ(cors.preflight_headers({.origin = other, .method = "POST"}).error().code, "not_permitted") << other;
  }
}

TEST(Cors, AllowsEverybodyByAStar) {
  const Cors cors({.origins = {"*"}});
  EXPECT_THAT(cors.answer_headers("https://a.example"), Contains(Pair("Access-Control-Allow-Origin", "*")));
  EXPECT_THAT(cors.answer_headers("https://a.example"), Not(Contains(Key("Vary"))));
  EXPECT_FALSE(cors.names("https://a.example"));
  EXPECT_FALSE(cors.names("*"));
}

TEST(Cors, NamesTheOriginWhereCredentialsComeAlong) {
  const Cors cors({.origins = {"*"}, .allow_credentials = true});
  const HttpHeaders headers = cors.answer_headers("https://a.example");
  EXPECT_THAT(headers, Contains(Pair("Access-Control-Allow-Origin", "https://a.example"))) << "browsers refuse a star";
  EXPECT_THAT(headers, Contains(Pair("Access-Control-Allow-Credentials", "true")));
}

TEST(Cors, AnswersWhatABrowserAsksFirst) {
  const Cors cors({.origins = {"https://a.example"}});
  const Result<HttpHeaders> headers =
      cors.preflight_headers({"https://a.example", "POST", "authorization,content-type", /*to_private_network=*/true});
  ASSERT_TRUE(headers);
  EXPECT_THAT(*headers, Contains(Pair("Access-Control-Allow-Origin", "https://a.example")));
  EXPECT_THAT(*headers, Contains(Pair("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")));
  EXPECT_THAT(*headers, Contains(Pair("Access-Control-Allow-Headers", "authorization,content-type")));
  EXPECT_THAT(*headers, Contains(Pair("Access-Control-Allow-Private-Network", "true")));
}

TEST(Cors, RefusesMethodsAndHeadersThatAreNotListed) {
  const Cors cors({.origins = {"*"}, .methods = {"GET"}, .headers = {"Authorization"}});
  EXPECT_TRUE(cors.preflight_headers({"https://a.example", "GET", "authorization, content-type"}));
  EXPECT_FALSE(cors.preflight_headers({"https://a.example", "POST", ""}));
  EXPECT_FALSE(cors.preflight_headers({"https://a.example", "GET", "authorization, x-secret"}));
}

TEST(Cors, TakesOriginsAsBrowsersSendThem) {
  EXPECT_TRUE(Cors::check({.origins = {"*", "null", "http://localhost:3000", "tauri://localhost", "http://[::1]:3000"}}));
  for (const char* wrong : {"", "a.example", "https://a.example/", "https://a.example/app", "https://*.example", "https://", "://a"}) {
    EXPECT_EQ(Cors::check({.origins = {wrong}}).error().code, "bad_origin") << wrong;
  }
}

TEST(CheckHost, TakesNamesOfThisMachineOnly) {
  for (const char* host : {"", "localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"})
    EXPECT_TRUE(check_host(host, Cors())) << host;
  for (const char* host : {"evil.com", "evil.com:8000", "localhost.evil.com", "[2001:db8::1]:80", "["}) {
    EXPECT_EQ(check_host(host, Cors()).error().code, "not_permitted") << host;
  }
}

TEST(CheckHost, TakesTheHostsOfOriginsThatAreAllowedByName) {
  const Cors named({.origins = {"https://app.example", "http://tools.example:3000"}}), all({.origins = {"*", "null"}});
  EXPECT_TRUE(check_host("app.example", named));
  EXPECT_TRUE(check_host("Tools.example:3000", named));
  for (const char* host : {"tools.example", "app.example:80", "evil.app.example", "example"}) EXPECT_FALSE(check_host(host, named)) << host;
  for (const char* host : {"app.example", "*", "null"}) EXPECT_FALSE(check_host(host, all)) << host;
}

TEST(SameOrigin, ComparesHostAndPort) {
  EXPECT_TRUE(is_same_origin("http://localhost:8000", "LOCALHOST:8000"));
  for (const char* origin : {"http://localhost:3000", "http://evil.com", "null", "", "localhost:8000"}) {
    EXPECT_FALSE(is_same_origin(origin, "localhost:8000")) << origin;
  }
}

}  // namespace
}  // namespace slora
