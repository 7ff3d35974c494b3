// What browsers and Open WebUI send, in its own words: open-webui 0.12.4, open_webui/routers/openai.py and open_webui/retrieval.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"

namespace slora {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::uint16_t shared_port() { return demo_server().port(); }

// The events of a stream of /v1/responses with the names before them.
std::vector<std::pair<std::string, Json>> named_events(const std::string& body) {
  std::vector<std::pair<std::string, Json>> events;
  for (std::size_t begin = body.find("event: "); begin != std::string::npos; begin = body.find("event: ", begin + 1)) {
    const std::size_t end = body.find('\n', begin), data = body.find("data: ", end) + 6;
    events.emplace_back(body.substr(begin + 7, end - begin - 7), Json::parse(body.substr(data, body.find('\n', data) - data)));
  }
  return events;
}

TEST(OpenWebUi, ListsModels) {
  const Json models = get(shared_port(), "/v1/models", {"Content-Type: application/json"}).json();
  ASSERT_TRUE(models["data"].is_array());
  for (const Json& model : models["data"]) {
    EXPECT_TRUE(model["id"].is_string());
    EXPECT_FALSE(model.contains("name") && model["name"].is_null()) << "it takes the name, if there is one, for the id";
  }
}

// As its backend sends it, after taking the page's own fields out.
TEST(OpenWebUi, ChatsThroughItsBackend) {
  const Json body = Json::parse(R"({"stream": true, "model": "yoda",
    "messages": [{"role": "system", "content": "User Context:\n\nbe brief"}, {"role": "user", "content": "Rosa painted a hat."}],
    "stream_options": {"include_usage": true}, "temperature": 0, "top_p": 0.9, "min_p": 0, "max_tokens": 24, "seed": 1,
    "frequency_penalty": 0, "presence_penalty": 0, "stop": ["\n\n"], "logit_bias": {"5": 1}, "reasoning_effort": "low"})");
  const Reply reply = post(shared_port(), "/v1/chat/completions", body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_THAT(reply.headers.at("content-type"), StartsWith("text/event-stream"));
  const std::vector<Json> events = reply.events();
  EXPECT_GT(events.back()["usage"]["completion_tokens"], 0) << "it shows these below the answer";
  // Of titles, tags and follow-up questions.
  const Reply title = post(shared_port(), "/v1/chat/completions", Json::parse(R"({"model": "demo", "stream": false, "max_tokens": 8,
    "messages": [{"role": "user", "content": "### Task:\nGenerate a concise, 3-5 word title"}]})"));
  EXPECT_EQ(title.status, 200) << title.body;
}

// A direct connection: the page itself calls, with everything that its backend would have taken out.
TEST(OpenWebUi, ChatsFromItsPage) {
  const ServerProcess server({"--model", source_path("demo/model"), "--served-model-name", "demo", "--pool-memory", "64MiB",
                              "--allowed-origins", "http://localhost:3000", "--api-key", "sesame"});
  const std::string origin = "Origin: http://localhost:3000", key = "Authorization: Bearer sesame";
  for (const char* path : {"/v1/models", "/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/rerank"}) {
    Connection browser(server.port());
    browser.send_request("OPTIONS", path, "",
                         {origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type"});
    const Reply allowed = browser.read_reply();
    EXPECT_EQ(allowed.status, 200) << path;
    EXPECT_EQ(allowed.headers.at("access-control-allow-origin"), "http://localhost:3000") << path;
    EXPECT_EQ(allowed.headers.at("access-control-allow-headers"), "authorization,content-type") << path;
  }
  const Json body = Json::parse(R"({"stream": true, "model": "demo", "messages": [{"role": "user", "content": "Hi"}], "params": {},
    "files": [], "filter_ids": [], "tool_ids": [], "tool_servers": [], "max_tokens": 4,
    "features": {"voice": false, "image_generation": false, "code_interpreter": false, "web_search": false},
    "variables": {"{{USER_NAME}}": "Rosa", "{{CURRENT_DATE}}": "2026-11-30"},
    "model_item": {"id": "demo", "object": "model", "name": "demo", "openai": {"id": "demo"}, "connection_type": "external", "urlIdx": 0},
    "session_id": "Xa1", "chat_id": "0e6", "id": "b4d", "parent_id": "c",
    "user_message": {"id": "x", "role": "user", "content": "Hi", "models": ["demo"]}, "metadata": {"variables": {}},
    "background_tasks": {"title_generation": true, "tags_generation": true}, "stream_options": {"include_usage": true}})");
  const Reply reply = post(server.port(), "/v1/chat/completions", body, {origin, key, "x-request-id: r1"});
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.headers.at("access-control-allow-origin"), "http://localhost:3000") << "streams as well";
  EXPECT_THAT(reply.headers.at("access-control-expose-headers"), HasSubstr("x-request-id"));
  EXPECT_THAT(reply.headers.at("access-control-expose-headers"), HasSubstr("Retry-After"));
  EXPECT_EQ(reply.headers.at("x-request-id"), "r1");
  EXPECT_FALSE(reply.events().empty());
  const Reply refused = post(server.port(), "/v1/chat/completions", body, {origin});
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.headers.at("access-control-allow-origin"), "http://localhost:3000") << "else the page could not say why";
}

// A connection of API type "responses", as convert_to_responses_payload() writes its chats.
TEST(OpenWebUi, ChatsByResponses) {
  const Json body = Json::parse(R"({"stream": true, "model": "yoda", "temperature": 0, "max_output_tokens": 24,
    "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Rosa painted a hat."}]},
              {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
              {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A hat she painted."}]},
              {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
              {"type": "function_call_output", "call_id": "c1", "output": "a red hat"},
              {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "The queen found a key."}]}],
    "instructions": "Be brief."})");
  const Reply reply = post(shared_port(), "/v1/responses", body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto events = named_events(reply.body);
  ASSERT_GE(events.size(), 8u);  // the demo model may end at once
  std::string text;
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].first, events[i].second["type"]);
    EXPECT_EQ(events[i].second["sequence_number"], i);
    if (events[i].first == "response.output_text.delta") text += events[i].second["delta"];
  }
  EXPECT_EQ(events.front().first, "response.created");
  EXPECT_THAT(events.back().first, ::testing::AnyOf("response.completed", "response.incomplete"));
  EXPECT_EQ(events.back().second["response"]["output"][0]["content"][0]["text"], text);
  Json whole = body;
  whole["stream"] = false;
  EXPECT_EQ(post(shared_port(), "/v1/responses", whole).json()["output"][0]["content"][0]["text"], text);
}

// generate_openai_batch_embeddings(), of its RAG.
TEST(OpenWebUi, EmbedsItsDocuments) {
  const Json body = Json::parse(R"({"input": ["The queen found a key.", "Rosa painted a hat."], "model": "demo", "user": "x"})");
  const Reply reply = post(shared_port(), "/v1/embeddings", body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json answer = reply.json();
  ASSERT_EQ(answer["data"].size(), 2u);
  EXPECT_EQ(answer["data"][1]["index"], 1);
  EXPECT_EQ(answer["data"][0]["embedding"].size(), answer["data"][1]["embedding"].size());
}

// ExternalReranker.predict().
TEST(OpenWebUi, RanksItsDocuments) {
  const Json body = Json::parse(
      R"({"model": "demo", "query": "The queen found a key.", "documents": ["Rosa painted a hat.", "The queen found a key."], "top_n": 2})");
  const Reply reply = post(shared_port(), "/v1/rerank", body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json results = reply.json()["results"];
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0]["index"], 1) << "the same text is the nearest";
  EXPECT_NEAR(results[0]["relevance_score"].get<double>(), 1, 1e-6);
  EXPECT_EQ(results[1]["document"]["text"], "Rosa painted a hat.");
}

TEST(Embeddings, AreOfTheAdapterThatTheModelNames) {
  const auto embed = [&](const char* model) {
    return post(shared_port(), "/v1/embeddings", {{"model", model}, {"input", "The queen found a key."}}).json()["data"][0]["embedding"];
  };
  EXPECT_NE(embed("demo"), embed("yoda"));
  EXPECT_EQ(embed("yoda"), embed("yoda"));
  const Reply unknown = post(shared_port(), "/v1/embeddings", {{"model", "nobody"}, {"input", "a"}});
  EXPECT_EQ(unknown.status, 404);
}

TEST(Embeddings, AreMadeAsTheModelsFolderSays) {
  const ServerProcess server(
      {"--model", source_path("demo/model"), "--served-model-name", "demo", "--pool-memory", "64MiB", "--pooling", "mean"});
  const Json body = {{"input", "The queen found a key."}};
  const Json mean = post(server.port(), "/v1/embeddings", body).json()["data"][0]["embedding"];
  EXPECT_NE(mean, post(shared_port(), "/v1/embeddings", body).json()["data"][0]["embedding"]);
  EXPECT_EQ(
      mean,
      post(shared_port(), "/v1/embeddings", {{"input", "The queen found a key."}, {"pooling", "mean"}}).json()["data"][0]["embedding"]);
}

TEST(Score, IsTheCosineOfTwoEmbeddings) {
  const Json pair =
      post(shared_port(), "/v1/score", {{"model", "demo"}, {"text_1", "The queen found a key."}, {"text_2", "Rosa painted a hat."}}).json();
  const Json data = post(shared_port(), "/v1/embeddings", {{"input", {"The queen found a key.", "Rosa painted a hat."}}}).json()["data"];
  double cosine = 0;
  for (std::size_t i = 0; i < data[0]["embedding"].size(); ++i)
    cosine += data[0]["embedding"][i].get<double>() * data[1]["embedding"][i].get<double>();
  EXPECT_NEAR(pair["data"][0]["score"].get<double>(), cosine, 1e-5);
}

}  // namespace
}  // namespace slora
