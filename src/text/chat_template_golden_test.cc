#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "text/chat_template.h"

// Compares with what jinja2 renders from our own templates (tools/golden_chat_constructs.py).

namespace slora {
namespace {

Json read_construct_golden(const std::string& name) { return read_json_file(source_path("tests/golden/chat_constructs/" + name)).value(); }

// In the form of the golden file: the text, the message of raise_exception, or "fails" for any other error.
Json outcome_of(const std::string& source, const Json& variables) {
  const Result<ChatTemplate> parsed = ChatTemplate::parse(source);
  const Result<std::string> text = parsed ? parsed->render(variables) : tl::unexpected(parsed.error());
  if (text) return *text;
  if (text.error().code == "invalid_request_error") return {{"refused", text.error().message}};
  return {{"fails", true}, {"why", text.error().message}};
}

void expect_outcome(const Json& expected, Json found, const std::string& where) {
  const std::string why = found.is_object() ? found.value("why", "") : "";
  if (found.is_object()) found.erase("why");
  EXPECT_EQ(found, expected) << where << ": " << why;
}

TEST(ChatTemplateGolden, WritesConversationsAsJinja) {
  const Json golden = read_construct_golden("conversations.json");
  std::size_t count = 0;
  for (const auto& [name, entry] : golden["templates"].items()) {
    for (const auto& [conversation, expected] : entry["outcomes"].items()) {
      Json variables = {{"tools", nullptr}, {"documents", nullptr}};
      variables.update(golden["tokens"]);
      variables.update(golden["conversations"][conversation]);
      variables["add_generation_prompt"] = expected["add_generation_prompt"];
      expect_outcome(expected["outcome"], outcome_of(entry["source"], variables), name + " / " + conversation);
      ++count;
    }
  }
  EXPECT_GE(count, 200U);
}

TEST(ChatTemplateGolden, ComputesGeneratedExpressionsAsJinja) {
  const Json golden = read_construct_golden("expressions.json");
  for (const Json& entry : golden["cases"]) expect_outcome(entry[1], outcome_of(entry[0], golden["variables"]), entry[0]);
  EXPECT_GE(golden["cases"].size(), 1900U);
}

}  // namespace
}  // namespace slora
