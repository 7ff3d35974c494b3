#include "cli/text_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(TextList, TakesTextsAndJsonListsOfThem) {
  EXPECT_THAT(texts_of_option({"https://a.example", "https://b.example:8443"}), ElementsAre("https://a.example", "https://b.example:8443"));
  EXPECT_THAT(texts_of_option({R"(["https://a.example", "https://b.example"])"}), ElementsAre("https://a.example", "https://b.example"));
  EXPECT_THAT(texts_of_option({R"(["*"])"}), ElementsAre("*"));
  EXPECT_THAT(texts_of_option({"[]"}), IsEmpty());
  EXPECT_THAT(texts_of_option({}), IsEmpty());
}

TEST(TextList, TakesAListThatTheParserHasCut) { EXPECT_THAT(texts_of_option({R"("GET")", R"( "POST")"}), ElementsAre("GET", "POST")); }

}  // namespace
}  // namespace slora
