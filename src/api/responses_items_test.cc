// The items that the answers of /v1/responses are made of, and the fields that ask for them.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "api/testing/tool_model_fixture.h"

namespace slora {
namespace {

constexpr const char* kFunctions = R"("tools":[{"type":"function","name":"f"}])";
const std::string kFunctionCall = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"city\": \"Zürich\"}}\n</tool_call>";

class ResponseItemsTest : public ToolModelFixture {
 protected:
  void respond(const std::string& fields) { start(Endpoint::responses, R"({"input":"Hi",)" + fields + "}"); }
  RequestSpec spec_of(const std::string& fields) {
    return preparer->prepare(Endpoint::responses, R"({"input":"Hi",)" + fields + "}").value().spec;
  }
  // Of the stream, without repetitions and the prefix.
  std::vector<std::string> types() const {
    std::vector<std::string> found;
    for (const Json& event : sink->events()) {
      std::string type = event["type"].get<std::string>().substr(std::string("response.").size());
      if (found.empty() || found.back() != type) found.push_back(std::move(type));
    }
    return found;
  }
};

TEST_F(ResponseItemsTest, GivesReasoningTextAndCallsAsItems) {
  respond(kFunctions);
  deliver_all(0, "<think>\nHm.\n</think>\nLook: " + kFunctionCall + "\n" + kFunctionCall + "\nDone.");
  const Json output = body()["output"];
  ASSERT_EQ(output.size(), 5U);
  EXPECT_EQ(output[0]["type"], "reasoning");
  EXPECT_EQ(output[0]["content"], Json::parse(R"([{"type":"reasoning_text","text":"Hm."}])"));
  EXPECT_EQ(output[1]["content"][0]["text"], "Look:");
  EXPECT_EQ(output[2]["type"], "function_call");
  EXPECT_EQ(output[2]["name"], "f");
  EXPECT_EQ(output[2]["arguments"], "{\"city\": \"Zürich\"}");
  EXPECT_TRUE(output[2]["id"].get<std::string>().starts_with("fc_"));
  EXPECT_TRUE(output[2]["call_id"].get<std::string>().starts_with("call_"));
  EXPECT_NE(output[2]["call_id"], output[3]["call_id"]);
  EXPECT_EQ(output[4]["content"][0]["text"], "Done.");
  for (const Json& item : output) EXPECT_EQ(item["status"], "completed");
  EXPECT_GT(body()["usage"]["output_tokens_details"]["reasoning_tokens"], 0);
}

TEST_F(ResponseItemsTest, StreamsWhatTheWholeResponseHas) {
  const std::string words = "<think>\nHm.\n</think>\nLook: " + kFunctionCall + "\n" + kFunctionCall + "\nDone.";
  respond(std::string(kFunctions) + R"(,"include":["message.output_text.logprobs"])");
  deliver_all(0, words);
  Json whole = body();
  respond(std::string(kFunctions) + R"(,"include":["message.output_text.logprobs"],"stream":true)");
  deliver_all(1, words);

  std::map<std::size_t, std::string> joined;  // by output_index
  std::map<std::size_t, Json> begun, done;
  std::int64_t number = 0;
  for (const Json& event : sink->events()) {
    EXPECT_EQ(event["sequence_number"], number++);
    const std::string type = event["type"];
    if (!event.contains("output_index")) continue;
    const auto index = event["output_index"].get<std::size_t>();
    EXPECT_FALSE(done.contains(index)) << "nothing follows the end of an item";
    if (type == "response.output_item.added") begun[index] = event["item"];
    if (event.contains("item_id")) {
      EXPECT_EQ(event["item_id"], begun.at(index)["id"]);
    }
    if (type.ends_with(".delta")) joined[index] += event["delta"].get<std::string>();
    if (type == "response.output_item.done") done[index] = event["item"];
  }
  Json streamed = sink->events().back()["response"];
  ASSERT_EQ(done.size(), streamed["output"].size());
  for (std::size_t i = 0; i < done.size(); ++i) {
    const Json& item = streamed["output"][i];
    EXPECT_EQ(done[i], item);
    EXPECT_EQ(begun[i]["status"], "in_progress");
    EXPECT_EQ(joined[i], item.contains("arguments") ? item["arguments"] : item["content"][0]["text"]);
  }
  EXPECT_EQ(streamed, whole);
  const std::vector<std::string> text = {"output_item.added", "content_part.added", "output_text.delta",
                                         "output_text.done",  "content_part.done",  "output_item.done"};
  const std::vector<std::string> call = {"output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
                                         "output_item.done"};
  std::vector<std::string> expected = {
      "created",           "in_progress",     "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done",
      "content_part.done", "output_item.done"};
  for (const std::vector<std::string>& item : {text, call, call, text}) expected.insert(expected.end(), item.begin(), item.end());
  expected.emplace_back("completed");
  EXPECT_EQ(types(), expected);
}

TEST_F(ResponseItemsTest, LeavesTheLastItemIncompleteWhereItIsCut) {
  respond(kFunctions);
  deliver_all(0, "Look: " + kFunctionCall.substr(0, kFunctionCall.size() - 20), EndReason::length);
  EXPECT_EQ(body()["status"], "incomplete");
  EXPECT_EQ(body()["output"][0]["status"], "completed");
  EXPECT_EQ(body()["output"][1]["type"], "function_call");
  EXPECT_EQ(body()["output"][1]["status"], "incomplete");
}

TEST_F(ResponseItemsTest, AnswersNothingWithAnEmptyMessage) {
  respond(kFunctions);
  deliver(0, kEnd, EndReason::stop);
  const Json whole = body();
  ASSERT_EQ(whole["output"].size(), 1U);
  EXPECT_EQ(whole["output"][0]["content"][0]["text"], "");
  respond(std::string(kFunctions) + R"(,"stream":true)");
  deliver(1, kEnd, EndReason::stop);
  EXPECT_EQ(sink->events().back()["response"], whole);
}

TEST_F(ResponseItemsTest, GivesTheMessageTheLogprobsOfItsTokens) {
  respond(std::string(kFunctions) + R"(,"include":["message.output_text.logprobs"])");
  deliver_all(0, "<think>a b c</think>Yes " + kFunctionCall);
  std::string joined;
  const Json whole = body();
  for (const Json& token : whole["output"][1]["content"][0]["logprobs"]) joined += token["token"];
  EXPECT_TRUE(joined.starts_with("Yes")) << joined;
  EXPECT_EQ(joined.find("arguments"), std::string::npos) << joined;
}

TEST_F(ResponseItemsTest, TakesTheFormOfTheText) {
  const RequestSpec any = spec_of(R"("text":{"format":{"type":"json_object"}})");
  EXPECT_EQ(any.constraint->kind, ConstraintKind::json_schema);
  EXPECT_EQ(Json::parse(any.constraint->text), Json({{"type", "object"}}));
  const std::string format = R"({"type":"json_schema","name":"n","schema":{"type":"integer"},"strict":true})";
  const RequestSpec number = spec_of(R"("text":{"format":)" + format + "}");
  EXPECT_EQ(Json::parse(number.constraint->text), Json({{"type", "integer"}}));
  EXPECT_EQ(number.constraint_field, "text.format.schema");
  EXPECT_FALSE(spec_of(R"("text":{"format":{"type":"text"}})").constraint);
  respond(R"("text":{"format":)" + format + "}");
  deliver_all(0, "1");
  EXPECT_EQ(body()["text"], Json({{"format", Json::parse(format)}, {"verbosity", "medium"}}));
}

TEST_F(ResponseItemsTest, ForcesCalls) {
  const auto form = [&](const std::string& fields) {
    return Json::parse(spec_of(std::string(kFunctions) + "," + fields).constraint->text)["format"];
  };
  EXPECT_EQ(form(R"("tool_choice":"required")")["stop_after_first"], false);
  EXPECT_EQ(form(R"("tool_choice":"required","parallel_tool_calls":false)")["stop_after_first"], true);
  const std::string named = R"({"type":"function","name":"f"})";
  EXPECT_EQ(form(R"("tool_choice":)" + named)["stop_after_first"], true);
  EXPECT_FALSE(spec_of(std::string(kFunctions) + R"(,"tool_choice":"auto")").constraint);
  EXPECT_FALSE(spec_of(R"("tool_choice":"auto")").constraint) << "as it stands in responses without tools";
  respond(std::string(kFunctions) + R"(,"parallel_tool_calls":false,"tool_choice":)" + named);
  deliver_all(0, kFunctionCall);
  EXPECT_EQ(body()["tool_choice"], Json::parse(named));
  EXPECT_EQ(body()["parallel_tool_calls"], false);
  EXPECT_EQ(body()["output"][0]["type"], "function_call");

  respond(std::string(kFunctions) + R"(,"tool_choice":"none")");
  deliver_all(1, kFunctionCall);
  EXPECT_EQ(body()["output"][0]["content"][0]["text"], kFunctionCall);
}

}  // namespace
}  // namespace slora
