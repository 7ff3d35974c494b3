#include "http/entity_tag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/responses.h"

namespace slora {
namespace {

using ::testing::Contains;
using ::testing::Pair;

HttpResponse tagged(std::string_view if_none_match) { return with_entity_tag(json_response("{}"), "\"abc\"", if_none_match); }

TEST(EntityTag, StandsInTheResponseAndIsAskedAboutBeforeEachUse) {
  const HttpResponse response = tagged("");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "{}");
  EXPECT_THAT(response.headers, Contains(Pair("ETag", "\"abc\"")));
  EXPECT_THAT(response.headers, Contains(Pair("Cache-Control", "no-cache")));
}

TEST(EntityTag, LeavesOutTheBodyThatTheClientHas) {
  for (const char* has : {"\"abc\"", "W/\"abc\"", "*", "\"x\", \"abc\"", "\"x\",W/\"abc\" ", " \"abc\" ,\"x\""}) {
    const HttpResponse response = tagged(has);
    EXPECT_EQ(response.status, 304) << has;
    EXPECT_EQ(response.body, "") << has;
    EXPECT_EQ(response.content_type, "") << has;
    EXPECT_THAT(response.headers, Contains(Pair("ETag", "\"abc\""))) << has << ": 304 names it, too";
  }
}

TEST(EntityTag, SendsTheBodyToClientsThatHaveAnother) {
  for (const char* has : {"\"abd\"", "abc", "\"ab\"", "\"abc", ",", " ", "\"x\",\"y\"", "w/\"abc\"", "**"}) {
    EXPECT_EQ(tagged(has).status, 200) << has;
    EXPECT_EQ(tagged(has).body, "{}") << has;
  }
}

}  // namespace
}  // namespace slora
