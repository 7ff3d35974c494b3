#include "train/data_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int32_t kVocabularySize = 100;

template <class Line>
Line line_of(std::string_view text) {
  const Result<DataLine> line = parse_data_line(text, kVocabularySize);
  EXPECT_TRUE(line) << text << (line ? "" : line.error().message);
  return std::get<Line>(line->content);
}

std::string refusal_of(std::string_view text) {
  const Result<DataLine> line = parse_data_line(text, kVocabularySize);
  return line ? "taken" : line.error().code + " " + line.error().message;
}

// "user: Hello | *assistant: Hi", with a star for what is learned.
std::string shown_conversation(std::string_view text) {
  const auto line = line_of<ConversationLine>(text);
  std::string out;
  for (std::size_t i = 0; i < line.messages.size(); ++i) {
    const Json& message = line.messages[i];
    out += fmt::format("{}{}{}: {}", i == 0 ? "" : " | ", line.is_learned[i] ? "*" : "", message["role"].get<std::string>(),
                       message["content"].is_string() ? message["content"].get<std::string>() : message["content"].dump());
    if (message.contains("tool_calls")) out += message["tool_calls"].dump();
  }
  return out;
}

TEST(DataLine, ReadsMessagesAndWhatIsLearnedOfThem) {
  EXPECT_EQ(shown_conversation(R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"},
                                                {"role": "assistant", "content": "A"}]})"),
            "system: S | user: U | *assistant: A");
  EXPECT_EQ(
      shown_conversation(R"({"messages": [{"role": "user", "content": "U", "weight": 1}, {"role": "assistant", "content": "A", "weight": 0},
                                                {"role": "assistant", "content": "B", "train": false},
                                                {"role": "assistant", "content": "C", "training": false},
                                                {"role": "assistant", "content": "D", "weight": 1, "train": true}]})"),
      "user: U | assistant: A | assistant: B | assistant: C | *assistant: D");
  const auto line =
      line_of<ConversationLine>(R"({"messages": [{"role": "assistant", "content": "A", "weight": 1, "name": "n"}], "tools": [{}]})");
  EXPECT_EQ(line.messages[0], Json::parse(R"({"role": "assistant", "content": "A", "name": "n"})"));
  EXPECT_EQ(line.tools, Json::parse("[{}]"));
}

TEST(DataLine, ReadsToolCallsAsTemplatesExpectThem) {
  EXPECT_EQ(shown_conversation(R"({"messages": [{"role": "assistant", "content": null, "tool_calls": [
                                     {"type": "function", "function": {"name": "f", "arguments": "{\"a\": 7}"}}]}]})"),
            R"(*assistant: null[{"type":"function","function":{"name":"f","arguments":{"a":7}}}])");
  EXPECT_EQ(shown_conversation(R"({"conversations": [{"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {\"a\": 7}}"},
                                                     {"from": "observation", "value": "12"}]})"),
            R"(*assistant: [{"type":"function","function":{"name":"f","arguments":{"a":7}}}] | tool: 12)");
}

TEST(DataLine, ReadsTheOtherFormsOfConversations) {
  EXPECT_EQ(shown_conversation(R"({"prompt": [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}],
                                   "completion": [{"role": "user", "content": "V"}, {"role": "assistant", "content": "B"}]})"),
            "user: U | assistant: A | user: V | *assistant: B");
  EXPECT_EQ(shown_conversation(R"({"instruction": "I", "input": "J", "output": "O", "system": "S", "history": [["H", "G"]], "text": "T"})"),
            "system: S | user: H | assistant: G | user: I\nJ | *assistant: O");
  EXPECT_EQ(shown_conversation(R"({"instruction": "I", "input": "", "output": "O"})"), "user: I | *assistant: O");
  EXPECT_EQ(shown_conversation(R"({"conversations": [{"from": "human", "value": "U"}, {"from": "gpt", "value": "A"},
                                                     {"from": "gpt", "value": "B", "weight": 0}], "system": "S", "tools": "[{}]"})"),
            "system: S | user: U | *assistant: A | assistant: B");
}

TEST(DataLine, ReadsTextsSegmentsAndTokens) {
  EXPECT_EQ(line_of<TextLine>(R"({"text": "T"})").text, "T");
  const auto completion = line_of<CompletionLine>(R"({"prompt": "P", "completion": "C"})");
  EXPECT_EQ(completion.prompt + "|" + completion.completion, "P|C");
  const auto segments = line_of<SegmentsLine>(R"({"segments": [{"label": false, "text": "ab"}, {"label": true, "text": "cd"}]})");
  EXPECT_EQ(segments.text, "abcd");
  ASSERT_EQ(segments.labels.size(), 1U);
  EXPECT_EQ(segments.labels[0].begin, 2U);
  const auto tokens = line_of<TokensLine>(R"({"input_ids": [1, 2, 99], "labels": [-100, 2, 99]})");
  EXPECT_THAT(tokens.ids, ElementsAre(1, 2, 99));
  EXPECT_THAT(tokens.labels, ElementsAre(false, true, true));
}

TEST(DataLine, NamesKeysThatItDoesNotKnow) {
  EXPECT_THAT(parse_data_line(R"({"id": 7, "text": "T", "source": "s"})", kVocabularySize)->unknown_keys, ElementsAre("id", "source"));
  EXPECT_THAT(parse_data_line(R"({"messages": [{"role": "user", "content": "U"}], "text": "T"})", kVocabularySize)->unknown_keys,
              ElementsAre("text"))
      << "the first form counts";
}

TEST(DataLine, RefusesWhatIsNoForm) {
  EXPECT_THAT(refusal_of("{"), HasSubstr("E_BAD_JSON"));
  EXPECT_THAT(refusal_of("7"), HasSubstr("E_DATA expected a JSON object on each line, found an integer"));
  EXPECT_THAT(refusal_of("[{}]"), HasSubstr("jq -c '.[]' FILE makes lines of a list"));
  EXPECT_THAT(refusal_of("{}"), HasSubstr("found none"));
  EXPECT_THAT(refusal_of(R"({"prompt": "P", "chosen": "C"})"),
              AllOf(HasSubstr("expected the keys of one form"), HasSubstr(R"("prompt", "chosen")")));
}

TEST(DataLine, RefusesWithKeyExpectedAndFound) {
  const auto message = [](std::string_view members) { return refusal_of(fmt::format(R"({{"messages": [{{{}}}]}})", members)); };
  EXPECT_EQ(refusal_of(R"({"messages": []})"), "E_DATA messages: expected a list with at least one message, found an array");
  EXPECT_EQ(refusal_of(R"({"messages": "x"})"), R"(E_DATA messages: expected a list with at least one message, found "x")");
  EXPECT_THAT(message(R"("content": "x")"), HasSubstr("messages[0].role: expected \"system\""));
  EXPECT_THAT(message(R"("role": "bot", "content": "x")"), HasSubstr("found \"bot\""));
  EXPECT_THAT(message(R"("role": "user")"), HasSubstr("messages[0].content: expected a string or a list of text parts, found nothing"));
  EXPECT_THAT(message(R"("role": "assistant", "content": null)"), HasSubstr("messages[0].content"));
  EXPECT_THAT(message(R"("role": "assistant", "content": "x", "weight": 0.5)"),
              HasSubstr("messages[0].weight: expected 0 or 1, found 0.5"));
  EXPECT_THAT(message(R"("role": "assistant", "content": "x", "train": 1)"),
              HasSubstr("messages[0].train: expected true or false, found 1"));
  EXPECT_THAT(message(R"("role": "user", "content": "x", "train": true)"), HasSubstr("only what an assistant says is learned"));
  EXPECT_THAT(message(R"("role": "assistant", "tool_calls": [{}])"), HasSubstr("messages[0].tool_calls[0].function"));
  EXPECT_THAT(refusal_of(R"({"conversations": [{"from": "dog", "value": "x"}]})"), HasSubstr("conversations[0].from: expected \"human\""));
  EXPECT_THAT(refusal_of(R"({"conversations": [{"from": "gpt", "value": 7}]})"),
              HasSubstr("conversations[0].value: expected a string, found 7"));
  EXPECT_THAT(refusal_of(R"({"conversations": [{"from": "function_call", "value": "call f"}]})"),
              HasSubstr("conversations[0].value: expected JSON"));
  EXPECT_THAT(refusal_of(R"({"conversations": []})"), HasSubstr("at least one turn"));
  EXPECT_THAT(refusal_of(R"({"prompt": "x", "completion": []})"), HasSubstr("completion: expected a string, as the prompt is one"));
  EXPECT_THAT(refusal_of(R"({"instruction": "x", "output": 7})"), HasSubstr("output: expected a string, found 7"));
  EXPECT_THAT(refusal_of(R"({"instruction": "x", "output": "y", "history": [["a"]]})"), HasSubstr("history[0]: expected a pair of texts"));
  EXPECT_THAT(refusal_of(R"({"segments": [{"text": "x"}]})"), HasSubstr("segments[0].label: expected true or false, found nothing"));
  EXPECT_THAT(refusal_of(R"({"input_ids": [100], "labels": [100]})"),
              HasSubstr("input_ids[0]: expected a token of the model, from 0 to 99, found 100"));
  EXPECT_THAT(refusal_of(R"({"input_ids": [18446744073709551615], "labels": [1]})"), HasSubstr("input_ids[0]"));
  EXPECT_THAT(refusal_of(R"({"input_ids": [1, 2], "labels": [1]})"), HasSubstr("labels: expected a list of 2 numbers"));
  EXPECT_THAT(refusal_of(R"({"input_ids": [1, 2], "labels": [1, 7]})"),
              HasSubstr("labels[1]: expected -100, or 2 as in input_ids, found 7"));
}

}  // namespace
}  // namespace slora
