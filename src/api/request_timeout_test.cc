#include "api/request_timeout.h"

#include <gtest/gtest.h>

#include <string>

namespace slora {
namespace {

TEST(RequestTimeout, IsFoundAmongTheMembersOfTheBody) {
  EXPECT_EQ(peek_timeout(R"({"timeout":0.5})"), 0.5F);
  EXPECT_EQ(peek_timeout("{ \"prompt\": \"a\",\n \"timeout\" :\t12 }"), 12.0F);
  EXPECT_EQ(peek_timeout(R"({"messages":[{"content":"say \"timeout\": 3"}],"timeout":4})"), 4.0F);
  EXPECT_EQ(peek_timeout(R"({"user":"timeout","timeout":4})"), 4.0F);
  EXPECT_EQ(peek_timeout(R"({"a":"\\","b":"\\\"","timeout":4})"), 4.0F);
}

TEST(RequestTimeout, IsNothingElsewhere) {
  for (const char* body :
       {"", "{}", "[", "}", R"({"prompt":"timeout"})", R"({"prompt":"\"timeout\":1"})", R"({"parameters":{"timeout":1}})",
        R"({"metadata":[{"timeout":1}]})", R"({"timeout")", R"({"timeout":)", R"({"a":"b)"}) {
    EXPECT_EQ(peek_timeout(body), std::nullopt) << body;
  }
}

TEST(RequestTimeout, LeavesValuesToTheParserThatItMayRefuse) {
  for (const char* value : {"0", "-1", "0.0001", "86401", "1e999", "null", "true", "\"5\"", "[5]", "NaN"}) {
    EXPECT_EQ(peek_timeout(std::string(R"({"timeout":)") + value + "}"), std::nullopt) << value;
  }
}

TEST(RequestTimeout, TakesTimeInProportionToTheBody) {
  const std::string backslashes(1 << 20, '\\'), brackets(1 << 20, '[');
  EXPECT_EQ(peek_timeout(R"({"a":")" + backslashes + R"(","timeout":4})"), 4.0F);
  EXPECT_EQ(peek_timeout(R"({"timeout":"",)" + brackets), std::nullopt);
}

}  // namespace
}  // namespace slora
