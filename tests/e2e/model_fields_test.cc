#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"

namespace slora {
namespace {

// A path with a body that asks the demo's base for a few tokens, and where in the body a field may stand.
struct Way {
  std::string path;
  Json body;
  std::string object;  // empty: in the body

  Json with(const std::string& field, const Json& value) const {
    Json changed = body;
    (object.empty() ? changed : changed[object])[field] = value;
    return changed;
  }
  std::string place(const std::string& field) const { return object.empty() ? field : object + "." + field; }
};

const std::string kAsked = "Clara found";

std::vector<Way> ways() {
  const Json messages = {{{"role", "user"}, {"content", kAsked}}};
  const Json sampled = {{"max_new_tokens", 6}, {"temperature", 0}};
  return {{"/v1/completions", {{"prompt", kAsked}, {"max_tokens", 6}, {"temperature", 0}}, ""},
          {"/v1/chat/completions", {{"messages", messages}, {"max_tokens", 6}, {"temperature", 0}}, ""},
          {"/generate", {{"text", kAsked}, {"sampling_params", sampled}}, ""},
          {"/generate", {{"text", kAsked}, {"sampling_params", sampled}}, "sampling_params"},
          {"/generate", {{"inputs", kAsked}, {"parameters", sampled}}, ""},
          {"/generate", {{"inputs", kAsked}, {"parameters", sampled}}, "parameters"},
          {"/generate_stream", {{"inputs", kAsked}, {"parameters", sampled}}, ""},
          {"/generate_stream", {{"inputs", kAsked}, {"parameters", sampled}}, "parameters"},
          {"/", {{"inputs", kAsked}, {"parameters", sampled}}, ""},
          {"/", {{"inputs", kAsked}, {"parameters", sampled}}, "parameters"},
          {"/tokenize", {{"prompt", kAsked}}, ""},
          {"/tokenize", {{"messages", messages}}, ""},
          {"/detokenize", {{"tokens", {300, 301}}}, ""}};
}

// What a whole answer says, in any of the forms.
std::string text_of(const Reply& reply) {
  if (reply.status != 200) return "status " + std::to_string(reply.status) + ": " + reply.body;
  if (reply.body.starts_with("data:")) {
    std::string text;
    for (const Json& event : reply.events()) text += event["token"]["text"].get<std::string>();
    return text;
  }
  const Json body = reply.json();
  const Json answer = body.is_array() ? body[0] : body;
  if (answer.contains("text")) return answer["text"];
  if (answer.contains("generated_text"))
    return answer["generated_text"].is_array() ? answer["generated_text"][0] : answer["generated_text"];
  if (!answer.contains("choices")) return reply.body;  // tokens
  const Json& choice = answer["choices"][0];
  return choice.contains("message") ? choice["message"]["content"] : choice["text"];
}

Reply ask(const Way& way, const Json& body) { return post(demo_server().port(), way.path, body); }

// The fields of the description whose names select a model, and some that nobody is known to have.
std::vector<std::string> selecting_fields() {
  std::vector<std::string> fields = {"loraPath", "use_lora", "activeAdapters", "peft_id"};
  const Json document = get(demo_server().port(), "/openapi.json").json();
  for (const auto& [name, schema] :
       document["paths"]["/v1/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"].items()) {
    const bool selects = name.starts_with("model") || name.find("lora") != std::string::npos || name.find("adapter") != std::string::npos;
    if (selects && name != "adapter_source" && name != "lora_scale") fields.push_back(name);
  }
  return fields;
}

TEST(ModelFields, AreFollowedOrRefusedByNameOnEveryPathAndNeverMeanTheBase) {
  const std::vector<std::string> fields = selecting_fields();
  ASSERT_GE(fields.size(), 30u);
  std::size_t served = 0;
  for (const Way& way : ways()) {
    const std::string base = text_of(ask(way, way.body)), adapter = text_of(ask(way, way.with("model", "shout")));
    if (way.path.find("tokenize") == std::string::npos) {
      EXPECT_NE(base, adapter) << way.path;
    }
    for (const std::string& field : fields) {
      for (const Json& value : {Json("shout"), Json{"shout"}, Json{{"name", "shout"}, {"scale", 1}}, Json("demo:shout")}) {
        const Reply reply = ask(way, way.with(field, value));
        if (reply.status == 200) {
          ++served;
          EXPECT_EQ(text_of(reply), adapter) << way.path << " " << field << value;
        } else {
          EXPECT_EQ(reply.status, 400) << way.path << " " << field << value << reply.body;
          EXPECT_THAT(reply.json()["error"]["param"].get<std::string>(), ::testing::StartsWith(way.place(field))) << reply.body;
        }
      }
      for (const Json& value : {Json("nobody"), Json(0), Json{{{"id", 1}, {"scale", 1.0}}}, Json{{"name", "shout"}, {"scale", 2000}}}) {
        const Reply reply = ask(way, way.with(field, value));
        EXPECT_TRUE(reply.status == 400 || (reply.status == 404 && value == "nobody")) << way.path << " " << field << value << reply.body;
      }
      EXPECT_EQ(text_of(ask(way, way.with(field, nullptr))), base) << way.path << " " << field;
    }
  }
  EXPECT_GT(served, 1000u);
}

TEST(ModelFields, LoraxsAndTgisRequestsAreForTheirAdapter) {
  const std::uint16_t port = demo_server().port();
  for (const char* path : {"/generate", "/generate_stream", "/"}) {
    const Json in_parameters = {{"inputs", kAsked}, {"parameters", {{"adapter_id", "shout"}, {"max_new_tokens", 6}}}};
    const Json at_the_top = {{"inputs", kAsked}, {"adapter_id", "shout"}, {"parameters", {{"max_new_tokens", 6}}}};
    const Json base = {{"inputs", kAsked}, {"parameters", {{"max_new_tokens", 6}}}};
    const std::string served = text_of(post(port, path, in_parameters));
    EXPECT_NE(served, text_of(post(port, path, base)));
    EXPECT_EQ(served, text_of(post(port, path, at_the_top)));
    EXPECT_EQ(served, post(port, "/v1/completions", {{"model", "shout"}, {"prompt", kAsked}, {"max_tokens", 6}, {"temperature", 0}})
                          .json()["choices"][0]["text"]);
    Json unknown = in_parameters;
    unknown["parameters"]["adapter_id"] = "nobody";
    const Reply refused = post(port, path, unknown);
    EXPECT_EQ(refused.status, 404);
    EXPECT_EQ(refused.json()["error"]["param"], "parameters.adapter_id");
  }
}

TEST(ModelFields, TgisStreamAddsUpToItsLastEvent) {
  const Json body = {{"inputs", kAsked},
                     {"parameters", {{"adapter_id", "shout"}, {"max_new_tokens", 8}, {"top_n_tokens", 2}, {"details", true}}}};
  const Reply reply = post(demo_server().port(), "/generate_stream", body);
  ASSERT_EQ(reply.status, 200);
  std::string text;
  for (const Json& event : reply.events()) {
    if (!event["token"]["special"].get<bool>()) text += event["token"]["text"].get<std::string>();
    EXPECT_EQ(event["top_tokens"].size(), 2u);
  }
  const Json last = reply.events().back();
  EXPECT_EQ(last["generated_text"], text);
  EXPECT_EQ(last["details"]["generated_tokens"], reply.events().size());
  EXPECT_EQ(text_of(post(demo_server().port(), "/generate", body)), text);
}

TEST(ModelFields, WaysToNameAdaptersMixInOneBatch) {
  const std::uint16_t port = demo_server().port();
  std::vector<Json> bodies;
  std::vector<std::string> expected;
  const auto add = [&](const std::string& adapter, const char* field, const Json& value) {
    Json body = chat_body("demo", kAsked);
    expected.push_back(chat_text(post(port, "/v1/chat/completions", chat_body(adapter, kAsked))));
    body[field] = value;
    bodies.push_back(std::move(body));
  };
  add("yoda", "model", "demo:yoda");
  add("shout", "lora", {{{"id", "shout"}, {"scale", 1.0}}});
  add("spanish", "lora_request", {{"lora_name", "spanish"}, {"lora_int_id", 1}});
  add("pirate", "adapters", "demo/adapters/pirate");
  add("demo", "lora_path", nullptr);
  std::vector<std::string> mixed(bodies.size());
  std::vector<std::thread> clients;
  for (std::size_t i = 0; i < bodies.size(); ++i)
    clients.emplace_back([&, i] { mixed[i] = chat_text(post(port, "/v1/chat/completions", bodies[i])); });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(mixed, expected);
}

TEST(ModelFields, AVllmStartScriptServesItsAdapters) {
  for (const std::string backend : {"cpu", "reference"}) {
    const auto module = [](const std::string& name, const std::string& folder) {
      return Json{{"name", name}, {"path", source_path("demo/adapters/" + folder)}, {"base_model_name", "llama"}}.dump();
    };
    const ServerProcess server({source_path("demo/model"),
                                "--served-model-name",
                                "llama",
                                "publishers/ns/models/llama",
                                "llama",
                                "--enable-lora",
                                "--max-loras",
                                "1",
                                "--max-lora-rank=8",
                                "--max-cpu-loras",
                                "2",
                                "--gpu-memory-utilization",
                                "0.9",
                                "--tensor-parallel-size",
                                "1",
                                "--lora-modules",
                                module("sql", "shout"),
                                module("publishers/ns/models/sql", "shout"),
                                "--kv_cache_memory_bytes=64MiB",
                                "--lora-modules",
                                "[" + module("poems", "yoda") + "," + module("songs", "pirate") + "]",
                                "--backend",
                                backend});
    std::vector<std::string> names;
    const Json models = get(server.port(), "/v1/models").json();
    for (const Json& model : models["data"]) names.push_back(model["id"]);
    EXPECT_THAT(names, ::testing::ElementsAre("llama", "publishers/ns/models/llama", "poems", "publishers/ns/models/sql", "songs", "sql"));
    const std::string base = chat_text(post(server.port(), "/v1/chat/completions", chat_body("llama", kAsked)));
    for (const auto& [name, folder] :
         {std::pair{"sql", "shout"}, {"publishers/ns/models/sql", "shout"}, {"poems", "yoda"}, {"songs", "pirate"}}) {
      const std::string served = chat_text(post(server.port(), "/v1/chat/completions", chat_body(name, kAsked)));
      EXPECT_NE(served, base);
      if (backend == "cpu") {
        EXPECT_EQ(served, chat_text(post(demo_server().port(), "/v1/chat/completions", chat_body(folder, kAsked))));
      }
    }
  }
}

TEST(ModelFields, StartScriptsThatAskForMoreAreRefusedWithWhatToDo) {
  const auto refusal = [](const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"serve", source_path("demo/model")};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const Finished finished = run_slora(arguments);
    EXPECT_EQ(finished.exit_code, 1) << finished.output;
    return finished.output;
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(refusal({"--quantization", "awq"}), HasSubstr("slora: --quantization: expected none"));
  EXPECT_THAT(refusal({"--tool-parser-plugin", "p.py"}), HasSubstr("docs/tools.md lists"));
  EXPECT_THAT(refusal({"--lora-modules", R"({"name": "sql"})"}), HasSubstr("slora: --lora-modules: expected \"name\" and \"path\""));
  EXPECT_THAT(refusal({"--lora-modules", R"({"name": "sql", "path": "/a"})", R"({"name": "sql", "path": "/b"})"}),
              HasSubstr("given twice"));
}

}  // namespace
}  // namespace slora
