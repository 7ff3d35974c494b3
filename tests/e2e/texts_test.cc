#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/testing/source_path.h"
#include "e2e/http_client.h"
#include "e2e/server_process.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

// A tiny random base with two adapters of equal weights: one that brings nothing, and one with tokens and a template of its own.
class Texts : public ::testing::Test {
 protected:
  Texts() {
    for (const char* name : {"plain", "own"}) {
      std::filesystem::create_directory(folder_ / name);
      for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
        std::filesystem::copy_file(source_path(std::string("tests/golden/reports/plain/") + file), folder_ / name / file);
      }
    }
    std::ofstream(folder_ / "own" / "tokenizer_config.json") << R"({"eos_token": "<|im_end|>", "added_tokens_decoder": {
        "260": {"content": "<tool>", "special": false}, "261": {"content": "</tool>", "special": false}}})";
    std::ofstream(folder_ / "own" / "chat_template.jinja") << "{{ messages[0].content }}<tool>{{ eos_token }}";
  }
  ~Texts() override { std::filesystem::remove_all(folder_); }

  std::vector<std::string> arguments() const {
    return {"--model", source_path("tests/golden/reports/base"), "--adapters", folder_.string(), "--pool-memory", "32MiB"};
  }

  const std::filesystem::path folder_ = [] {
    std::string path = (std::filesystem::temp_directory_path() / "slora-texts-XXXXXX").string();
    return std::filesystem::path(mkdtemp(path.data()));
  }();
};

TEST_F(Texts, OfAnAdapterAreTokenisedItsWay) {
  ServerProcess server(arguments());
  const auto tokens = [&](const std::string& model, const char* prompt) {
    return post(server.port(), "/tokenize", {{"model", model}, {"prompt", prompt}, {"return_token_strs", true}}).json();
  };
  EXPECT_EQ(tokens("own", "a<tool>b")["tokens"], Json({64, 260, 65}));
  EXPECT_EQ(tokens("own", "a<tool>b")["token_strs"], Json({"a", "<tool>", "b"}));
  EXPECT_EQ(tokens("base", "a<tool>b")["count"], 8);
  EXPECT_EQ(tokens("plain", "a<tool>b")["count"], 8);
  const Json chat = {{"model", "own"}, {"messages", {{{"role", "user"}, {"content", "a"}}}}};
  EXPECT_EQ(post(server.port(), "/tokenize", chat).json()["tokens"], Json({64, 260, 259}));

  const auto text = [&](const Json& body) { return post(server.port(), "/detokenize", body).json()["prompt"]; };
  EXPECT_EQ(text({{"model", "own"}, {"tokens", {64, 260, 261}}}), "a<tool></tool>");
  EXPECT_EQ(text({{"model", "plain"}, {"tokens", {64, 260, 261}}}), "a");
  EXPECT_EQ(text({{"tokens", {64, 260, 261}}}), "a");
  EXPECT_EQ(post(server.port(), "/detokenize", {{"model", "nobody"}, {"tokens", {64}}}).status, 404);
}

TEST_F(Texts, OfAnAdapterAreStreamedWithItsTokens) {
  ServerProcess server(arguments());
  const Json body = {{"model", "own"},   {"prompt", "a"}, {"max_tokens", 3}, {"logit_bias", {{"261", 100}}},
                     {"temperature", 0}, {"stream", true}};
  const Reply reply = post(server.port(), "/v1/completions", body);
  EXPECT_THAT(reply.body, HasSubstr(R"("text":"</tool>")"));
  const Json ended = {{"model", "own"}, {"prompt", "a"}, {"max_tokens", 3}, {"logit_bias", {{"259", 100}}}, {"temperature", 0}};
  EXPECT_EQ(post(server.port(), "/v1/completions", ended).json()["choices"][0]["finish_reason"], "stop");
}

TEST_F(Texts, ThatCantBeServedAreRefusedBeforeTheNameMeansThem) {
  ServerProcess server(arguments());
  std::filesystem::copy(folder_ / "plain", folder_ / "late");
  std::ofstream(folder_ / "late" / "tokenizer_config.json") << R"({"added_tokens_decoder": [])";
  const Json load = {{"lora_name", "late"}, {"lora_path", "late"}};
  const Json refused = post(server.port(), "/v1/load_lora_adapter", load).json();
  EXPECT_EQ(refused["error"]["code"], "E_BAD_JSON");
  EXPECT_THAT(refused["error"]["message"].get<std::string>(), HasSubstr("lora_path: tokenizer_config.json"));
  EXPECT_EQ(post(server.port(), "/v1/completions", {{"model", "late"}, {"prompt", "a"}}).status, 404);
  std::filesystem::remove(folder_ / "late" / "tokenizer_config.json");
  EXPECT_EQ(post(server.port(), "/v1/load_lora_adapter", load).status, 200);
}

TEST_F(Texts, OfAnAdapterAreGeneratedWithoutAServer) {
  std::vector<std::string> command = arguments();
  command.insert(command.begin(), "generate");
  command.insert(command.end(), {"--input", "-"});
  const Json line = {{"adapter", "own"}, {"prompt", "a<tool>"}, {"max_tokens", 2}, {"logit_bias", {{"260", 100}}},
                     {"temperature", 0}, {"logprobs", 0}};
  const Finished finished = run_slora(command, line.dump() + "\n");
  EXPECT_EQ(finished.exit_code, 0) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr(R"("text":"<tool><tool>")"));
  EXPECT_THAT(finished.output, HasSubstr(R"("tokens":["<tool>","<tool>"])"));
}

TEST_F(Texts, ThatChangeAreReadAgain) {
  ServerProcess server(arguments());
  const Json chat = {{"model", "own"}, {"messages", {{{"role", "user"}, {"content", "a"}}}}};
  EXPECT_EQ(post(server.port(), "/tokenize", chat).json()["count"], 3);
  std::ofstream(folder_ / "own" / "new.jinja") << "{{ messages[0].content }}!!";
  std::filesystem::rename(folder_ / "own" / "new.jinja", folder_ / "own" / "chat_template.jinja");
  Json tokens;
  for (int i = 0; i < 100 && tokens != Json({64, 0, 0}); ++i) {
    tokens = post(server.port(), "/tokenize", chat).json()["tokens"];
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(tokens, Json({64, 0, 0}));
}

}  // namespace
}  // namespace slora
