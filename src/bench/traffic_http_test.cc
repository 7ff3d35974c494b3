#include "bench/traffic_http.h"

#include <gtest/gtest.h>

namespace slora::bench {
namespace {

std::string refusal_of(const std::string& url) {
  const Result<std::unique_ptr<TrafficHttp>> target = TrafficHttp::create({.url = url, .key = ""});
  return target ? "none" : target.error().message;
}

TEST(TrafficHttp, TakesAddressesWithPortsAndTheRootOfTheApi) {
  for (const std::string url : {"http://127.0.0.1:8000", "http://localhost", "http://localhost:1/", "http://localhost:65535/v1",
                                "http://[::1]:8000/v1/", "http://[::1]"}) {
    EXPECT_EQ(refusal_of(url), "none") << url;
  }
}

TEST(TrafficHttp, RefusesPortsThatAreNone) {
  for (const std::string port : {"83636", "0", "-1", "", "80a", "+80", "80:80", "99999999999999999999", "80?x"}) {
    EXPECT_EQ(refusal_of("http://127.0.0.1:" + port), "--url: expected a port from 1 to 65535, found " + port);
  }
}

TEST(TrafficHttp, RefusesPathsThatItWouldNotUse) {
  for (const std::string path : {"/v2", "/v1/completions", "//", "/v1?x=1", "/proxy/v1"}) {
    EXPECT_EQ(refusal_of("http://127.0.0.1:8000" + path), "--url: expected nothing or /v1 after the address, found " + path);
  }
}

TEST(TrafficHttp, RefusesWhatIsNoAddress) {
  for (const std::string url : {"", "127.0.0.1:8000", "https://127.0.0.1", "http://", "http:///v1", "http://:80", "http://[::1",
                                "http://[]:80", "http://[::1]80"}) {
    EXPECT_TRUE(refusal_of(url).starts_with("--url: expected a")) << url;
  }
}

}  // namespace
}  // namespace slora::bench
