#include "http/query.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(Query, FindsValuesByTheirWholeName) {
  EXPECT_EQ(query_value("after=a&filter=b", "after"), "a");
  EXPECT_EQ(query_value("after=a&filter=b", "filter"), "b");
  EXPECT_EQ(query_value("thereafter=a&afterwards=b&after", "after"), "");
  EXPECT_EQ(query_value("", "after"), "");
  EXPECT_EQ(query_value("after=org%2Fsql%252", "after"), "org/sql%2");
}

TEST(Query, RefusesWhatIsNotWellFormedByName) {
  for (const char* query : {"after=%", "after=%2", "after=%zz", "x=1&after=a%-1"}) {
    const Result<std::string> value = query_value(query, "after");
    ASSERT_FALSE(value) << query;
    EXPECT_EQ(value.error().code, "bad_query");
    EXPECT_EQ(value.error().param, "after");
  }
  EXPECT_TRUE(query_value("other=%", "after")) << "what nobody reads is ignored";
}

}  // namespace
}  // namespace slora
