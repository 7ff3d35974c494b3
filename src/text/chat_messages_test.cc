#include "text/chat_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace slora {
namespace {

using ::testing::HasSubstr;

std::string converted(const std::string& messages, ContentFormat format) {
  const Result<Json> out = to_template_messages(Json::parse(messages), format);
  return out ? out->dump() : out.error().param + " " + out.error().message;
}

TEST(ChatMessages, AreTextOrPartsAsTheTemplateWants) {
  const std::string messages =
      R"([{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])";
  EXPECT_EQ(converted(messages, ContentFormat::text), R"([{"role":"system","content":"s"},{"role":"user","content":"a\nb"}])");
  EXPECT_EQ(converted(messages, ContentFormat::parts),
            R"([{"role":"system","content":[{"type":"text","text":"s"}]},)"
            R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])");
}

TEST(ChatMessages, HaveEmptyContentWhereThereIsNone) {
  const std::string messages = R"([{"role":"assistant","content":null,"tool_calls":[{"id":"x"}]},{"role":"assistant"}])";
  EXPECT_EQ(converted(messages, ContentFormat::text),
            R"([{"role":"assistant","content":"","tool_calls":[{"id":"x"}]},{"role":"assistant","content":""}])");
  EXPECT_EQ(converted(messages, ContentFormat::parts),
            R"([{"role":"assistant","content":[],"tool_calls":[{"id":"x"}]},{"role":"assistant","content":[]}])");
}

TEST(ChatMessages, KeepResultsOfToolsAsText) {
  const std::string messages = R"([{"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},)"
                               R"({"role":"tool","content":"c"}])";
  EXPECT_EQ(converted(messages, ContentFormat::parts),
            R"([{"role":"tool","content":"a\nb","tool_call_id":"1"},{"role":"tool","content":"c"}])");
}

TEST(ChatMessages, LeaveOutNullMembersAndEmptyToolCalls) {
  EXPECT_EQ(converted(R"([{"role":"developer","content":"x","name":null,"tool_calls":[],"prefix":true}])", ContentFormat::text),
            R"([{"role":"developer","content":"x","prefix":true}])");
}

TEST(ChatMessages, NameReasoningAsEveryTemplateExpectsIt) {
  EXPECT_EQ(converted(R"([{"role":"assistant","content":"x","reasoning":"hm"}])", ContentFormat::text),
            R"([{"role":"assistant","content":"x","reasoning":"hm","reasoning_content":"hm","thinking":"hm"}])");
  EXPECT_EQ(converted(R"([{"role":"assistant","content":"x","thinking":"a","reasoning_content":"b"}])", ContentFormat::text),
            R"([{"role":"assistant","content":"x","thinking":"a","reasoning_content":"b","reasoning":"b"}])");
}

TEST(ChatMessages, ErrorsNameThePart) {
  EXPECT_THAT(converted("[]", ContentFormat::text), HasSubstr("messages messages: expected a list with at least one message"));
  EXPECT_THAT(converted("[1]", ContentFormat::text), HasSubstr("messages[0] messages[0]: expected an object"));
  std::string members;
  for (int i = 0; i < 65; ++i) members += fmt::format(R"("m{}":1,)", i);
  EXPECT_THAT(converted("[{" + members + R"("role":"user"}])", ContentFormat::text), HasSubstr("expected at most 64 members"));
  EXPECT_THAT(converted(R"([{"role":"user","content":5}])", ContentFormat::parts), HasSubstr("messages[0].content "));
  for (const ContentFormat format : {ContentFormat::text, ContentFormat::parts}) {
    EXPECT_THAT(converted(R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url"}]}])", format),
                HasSubstr("messages[0].content[1] "));
  }
}

}  // namespace
}  // namespace slora
