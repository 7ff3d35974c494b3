// Requests and answers of /v1/responses.
#include <gtest/gtest.h>

#include <algorithm>

#include "api/request_parser.h"
#include "api/response_items.h"
#include "api/testing/generation_job_fixture.h"

namespace slora {
namespace {

class ResponsesTest : public GenerationJobFixture {
 protected:
  std::shared_ptr<GenerationJob> respond(const std::string& fields) { return start(Endpoint::responses, "{" + fields + "}"); }
  // What the chat template makes of a request.
  std::string prompt_of(const std::string& fields) {
    const Result<PreparedRequest> request = preparer->prepare(Endpoint::responses, "{" + fields + "}");
    return request ? text.tokenizer().decode(request->prompts.at(0).tokens, SpecialText::keep) : request.error().message;
  }
  static std::string param_of(const std::string& fields) {
    const Result<RequestSpec> spec = parse_request(Endpoint::responses, "{" + fields + "}", kVocabulary);
    return spec ? "" : spec.error().param;
  }
  std::vector<std::string> types() const {
    std::vector<std::string> found;
    for (const Json& event : sink->events()) found.push_back(event["type"]);
    return found;
  }
};

Json messages_of(const char* items) {
  const Result<Json> messages = messages_of_items("input", Json::parse(items));
  return messages ? *messages : Json(messages.error().message);
}

TEST_F(ResponsesTest, AnswersWithOneMessage) {
  respond(R"("input":"Hello","metadata":{"a":"b"},"max_output_tokens":9,"temperature":0.7,"store":true,"user":"rosa")");
  EXPECT_EQ(generator.submitted.at(0).output_tokens_max, 9);
  deliver_text(0, " big world");
  const Json answer = body();
  EXPECT_EQ(answer["id"], "resp_0000000000000007");
  EXPECT_EQ(answer["object"], "response");
  EXPECT_EQ(answer["status"], "incomplete") << "its length ended it";
  EXPECT_EQ(answer["incomplete_details"]["reason"], "max_output_tokens");
  ASSERT_EQ(answer["output"].size(), 1u);
  const Json& message = answer["output"][0];
  EXPECT_EQ(message["type"], "message");
  EXPECT_EQ(message["role"], "assistant");
  EXPECT_EQ(message["content"], Json::parse(R"([{"type":"output_text","text":" big world","annotations":[],"logprobs":[]}])"));
  EXPECT_EQ(answer["metadata"], Json({{"a", "b"}}));
  EXPECT_EQ(answer["temperature"], 0.7);
  EXPECT_EQ(answer["max_output_tokens"], 9);
  EXPECT_EQ(answer["store"], false) << "nothing is stored, whatever the client says";
  EXPECT_EQ(answer["user"], "rosa");
  const Json& usage = answer["usage"];
  EXPECT_EQ(usage["total_tokens"], usage["input_tokens"].get<int>() + usage["output_tokens"].get<int>());
  EXPECT_EQ(usage["input_tokens_details"]["cached_tokens"], 0);
}

TEST_F(ResponsesTest, EndsCompletedAtAnEndToken) {
  respond(R"("input":"Hello")");
  deliver(0, kEnd, EndReason::stop);
  EXPECT_EQ(body()["status"], "completed");
  EXPECT_EQ(body()["incomplete_details"], nullptr);
  EXPECT_EQ(body()["output"][0]["status"], "completed");
}

TEST_F(ResponsesTest, StreamsNumberedEventsInOpenAisOrder) {
  respond(R"("input":"Hello","stream":true)");
  deliver_text(0, " big world");
  const std::vector<Json> events = sink->events();
  std::string joined;
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["sequence_number"], i);
    if (events[i]["type"] == "response.output_text.delta") joined += events[i]["delta"];
  }
  EXPECT_EQ(joined, " big world");
  std::vector<std::string> found = types();
  found.erase(std::unique(found.begin(), found.end()), found.end());  // one delta for each token
  EXPECT_EQ(found, (std::vector<std::string>{"response.created", "response.in_progress", "response.output_item.added",
                                             "response.content_part.added", "response.output_text.delta", "response.output_text.done",
                                             "response.content_part.done", "response.output_item.done", "response.incomplete"}));
  EXPECT_EQ(events[0]["response"]["status"], "in_progress");
  EXPECT_EQ(events[0]["response"]["output"], Json::array());
  const Json& text_done = events[events.size() - 4];
  EXPECT_EQ(text_done["text"], joined);
  EXPECT_EQ(events[4]["item_id"], events[2]["item"]["id"]);
  const Json& whole = events.back()["response"];
  EXPECT_EQ(whole["output"][0], events[events.size() - 2]["item"]);
  EXPECT_EQ(whole["id"], events[0]["response"]["id"]);

  respond(R"("input":"Hello")");
  deliver_text(1, " big world");
  EXPECT_EQ(body(), whole) << "streamed and not streamed are the same response";
}

TEST_F(ResponsesTest, NamesItsEventsAndItsFailure) {
  const Result<PreparedRequest> request = preparer->prepare(Endpoint::responses, R"({"input":"a"})");
  ASSERT_TRUE(request);
  const std::unique_ptr<ResponseFormat> format = make_response_format(*request, {7, 0});
  const std::string failure = format->failure_message({ErrorKind::timeout, "deadline_exceeded", "Too late.", "timeout"});
  EXPECT_EQ(Json::parse(failure), Json::parse(R"({"type":"error","sequence_number":0,"code":"deadline_exceeded","message":"Too late.",
                                                  "param":"timeout"})"));
  EXPECT_EQ(format->event_of(failure), "error");
  EXPECT_EQ(format->event_of(R"({"type":"response.created","sequence_number":1})"), "response.created");
}

TEST_F(ResponsesTest, GivesLogprobsWhereTheyAreIncluded) {
  respond(R"("input":"Hello","stream":true,"include":["message.output_text.logprobs"],"top_logprobs":1)");
  deliver_text(0, " big world");
  const std::vector<Json> events = sink->events();
  EXPECT_EQ(events[4]["logprobs"].size(), 1u);
  EXPECT_EQ(events[4]["logprobs"][0]["logprob"], -0.5);
  EXPECT_EQ(events[4]["logprobs"][0]["top_logprobs"].size(), 1u);
  const Json whole = events.back()["response"]["output"][0]["content"][0]["logprobs"];
  std::string joined;
  for (const Json& token : whole) joined += token["token"];
  EXPECT_EQ(joined, " big world");
}

TEST_F(ResponsesTest, PutsInstructionsFirst) {
  EXPECT_EQ(prompt_of(R"("input":"Hi","instructions":"Be brief.")"), "system: Be brief.\nuser: Hi\nassistant:");
  EXPECT_EQ(prompt_of(R"("instructions":"Be brief.","input":[{"role":"user","content":[{"type":"input_text","text":"Hi"}]}])"),
            "system: Be brief.\nuser: Hi\nassistant:");
}

TEST_F(ResponsesTest, MakesMessagesOfItems) {
  EXPECT_EQ(messages_of(R"([{"role":"developer","content":"Be brief."},
                            {"type":"message","role":"assistant","id":"msg_1","status":"completed",
                             "content":[{"type":"output_text","text":"So","annotations":[]},{"type":"refusal","refusal":"no"}]}])"),
            Json::parse(R"([{"role":"system","content":"Be brief."},
                            {"role":"assistant","content":[{"type":"text","text":"So"},{"type":"text","text":"no"}]}])"));
}

TEST_F(ResponsesTest, JoinsCallsAndReasoningToTheAssistantsMessage) {
  EXPECT_EQ(messages_of(R"([{"role":"user","content":"Weather?"},
                            {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"Hm."}]},
                            {"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1}"},
                            {"type":"function_call","call_id":"c2","name":"g","arguments":"oops"},
                            {"type":"function_call_output","call_id":"c1","output":"sunny"},
                            {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"12"}]}])"),
            Json::parse(R"([{"role":"user","content":"Weather?"},
                            {"role":"assistant","reasoning_content":"Hm.","tool_calls":[
                              {"id":"c1","type":"function","function":{"name":"f","arguments":{"a":1}}},
                              {"id":"c2","type":"function","function":{"name":"g","arguments":"oops"}}]},
                            {"role":"tool","tool_call_id":"c1","content":"sunny"},
                            {"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"12"}]}])"));
}

TEST_F(ResponsesTest, NamesThePlaceAtFault) {
  for (const auto& [fields, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("model":"base")", "input"},
           {R"("input":[{"role":"cook","content":"a"}])", "input[0].role"},
           {R"("input":[{"role":"user","content":[{"type":"input_image","image_url":"a"}]}])", "input[0].content[0].type"},
           {R"("input":[{"role":"user","content":"a"},{"type":"function_call","name":"f","arguments":"{}"}])", "input[1].call_id"},
           {R"("input":[{"type":"reasoning","id":"r","summary":[]}])", "input"},
           {R"("input":"a","previous_response_id":"resp_1")", "previous_response_id"},
           {R"("input":"a","background":true)", "background"},
           {R"("input":"a","max_output_tokens":0)", "max_output_tokens"},
           {R"("input":"a","text":{"format":{"type":"xml"}})", "text.format.type"},
           {R"("input":"a","text":{"format":{"type":"json_schema","name":"n"}})", "text.format.schema"},
           {R"("input":"a","text":{"format":"json"})", "text.format"},
           {R"("input":"a","tool_choice":"required")", "tool_choice"},
           {R"("input":"a","tool_choice":{"type":"web_search"})", "tool_choice.type"},
           {R"("input":"a","tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"function","name":"g"})", "tool_choice.name"},
           {R"("input":"a","tools":[{"type":"function","name":"f","strict":1}])", "tools[0].strict"},
           {R"("input":"a","tools":[{"type":"web_search"}])", "tools[0].type"},
           {R"("input":"a","reasoning":{"effort":"some"})", "reasoning.effort"},
           {R"("input":"a","metadata":{"a":1})", "metadata"}}) {
    EXPECT_EQ(param_of(fields), param) << fields;
  }
  EXPECT_EQ(param_of(R"("input":"a","previous_response_id":null,"store":true,"background":false)"), "");
}

TEST_F(ResponsesTest, RefusesAPromptThatIsTooLongUnlessItMayBeTruncated) {
  std::string words;
  for (int i = 0; i < 3000; ++i) words += "big ";
  respond(R"("input":")" + words + "\"");
  ASSERT_TRUE(sink->error);
  EXPECT_EQ(sink->error->code, "context_length_exceeded");
  EXPECT_EQ(sink->error->param, "input");
  respond(R"("truncation":"auto","input":")" + words + "\"");
  EXPECT_FALSE(sink->error);
}

}  // namespace
}  // namespace slora
