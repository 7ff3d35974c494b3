#include "cli/peer_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "base/testing/source_path.h"
#include "cli/peer_option_table.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> words_of_options(std::string_view text) {
  std::istringstream stream{std::string(text)};
  return {std::istream_iterator<std::string>(stream), {}};
}

bool is_of_generate(const std::string& name) { return name == "--seed"; }

OwnArguments translated(const std::vector<std::string>& words) {
  Result<OwnArguments> own = translate_peer_options(words, [](const std::string&) { return false; });
  EXPECT_TRUE(own) << own.error().message;
  return own.value_or(OwnArguments{});
}

std::string refusal_of_words(const std::vector<std::string>& words) {
  const Result<OwnArguments> own = translate_peer_options(words, [](const std::string&) { return false; });
  return own ? "" : own.error().message;
}

TEST(PeerOptions, LeaveOurOwnAlone) {
  const std::vector<std::string> own = {
      "DIR", "--port=80", "--adapters", "a", "b", "--lora-modules", "x=/y", "z=w", "--weights=int8", "--watch-adapters", "--seed-of-nobody",
      "7",   "--",        "-x"};
  const OwnArguments same = translated(own);
  EXPECT_EQ(same.words, own);
  EXPECT_THAT(same.notes, IsEmpty());
}

TEST(PeerOptions, OurOwnOptionsTakePrecedence) {
  const Result<OwnArguments> own = translate_peer_options({"--seed", "3", "--max-loras", "1"}, is_of_generate);
  ASSERT_TRUE(own);
  EXPECT_THAT(own->words, ElementsAre("--seed", "3"));
}

TEST(PeerOptions, AVllmCommandLineOfKserveCarriesOver) {
  const OwnArguments own = translated({"/mnt/models",
                                       "--served-model-name",
                                       "llama",
                                       "publishers/ns/models/llama",
                                       "--port",
                                       "8000",
                                       "--enable-lora",
                                       "--max-loras",
                                       "2",
                                       "--max-lora-rank=64",
                                       "--max-cpu-loras",
                                       "4",
                                       "--lora-modules",
                                       R"({"name":"sql","path":"/mnt/lora/sql","base_model_name":"llama"})",
                                       "poems=/mnt/lora/poems",
                                       "--disable-access-log-for-endpoints",
                                       "/health,/metrics",
                                       "--tensor-parallel-size",
                                       "1",
                                       "--dtype",
                                       "auto",
                                       "--gpu_memory_utilization=0.9",
                                       "--shutdown-timeout",
                                       "20"});
  EXPECT_THAT(own.words, ElementsAre("/mnt/models", "--served-model-name", "llama", "publishers/ns/models/llama", "--port", "8000",
                                     "--lora-modules", R"({"name":"sql","path":"/mnt/lora/sql","base_model_name":"llama"})",
                                     "poems=/mnt/lora/poems", "--shards", "1", "--drain-time", "20"));
  EXPECT_EQ(own.notes.size(), 9u);
  EXPECT_THAT(own.notes[1], HasSubstr("--max-loras 2 has no effect: there are no adapter slots"));
}

TEST(PeerOptions, OthersCommandLinesCarryOverToo) {
  EXPECT_THAT(
      translated({"--model-path", "m", "--lora-paths", "a=b", R"([{"lora_name":"c","lora_path":"d"},{"lora_name":"e","lora_path":"f"}])",
                  "--tp", "2", "--context-length=4096", "--mem-fraction-static", "0.8", "--disable-radix-cache"})
          .words,
      ElementsAre("--model", "m", "--lora-modules", "a=b", R"({"lora_name":"c","lora_path":"d"})", R"({"lora_name":"e","lora_path":"f"})",
                  "--shards", "2", "--max-model-len", "4096"))
      << "SGLang";
  EXPECT_THAT(translated({"--model_name=llama", "--model_dir=/mnt/models", "--http_port=8080", "--dtype=bfloat16"}).words,
              ElementsAre("--served-model-name", "llama", "--model", "/mnt/models", "--port", "8080"))
      << "KServe";
  EXPECT_THAT(translated({"--model-id", "m", "--num-shard", "1", "--hostname", "::", "--max-concurrent-requests", "9"}).words,
              ElementsAre("--model", "m", "--shards", "1", "--host", "::", "--max-waiting", "9"))
      << "TGI and LoRAX";
  EXPECT_THAT(translated({"--model_dir", "m", "--lora-dirs", "a", "b", "-tp", "2"}).words,
              ElementsAre("--model", "m", "--adapters", "a", "b", "--shards", "2"))
      << "S-LoRA";
}

TEST(PeerOptions, WhatTurnsTheLinesOfRequestsOffDoesSoHere) {
  for (const char* option : {"--disable-log-requests", "--no-enable-log-requests", "--disable-uvicorn-access-log"})
    EXPECT_THAT(translated({option}).words, ElementsAre("--no-request-log"));
  EXPECT_THAT(translated({"--enable-log-requests"}).words, ElementsAre());
}

TEST(PeerOptions, ModulesMayBeAJsonList) {
  for (const bool attached : {false, true}) {
    const std::string list = R"([{"name":"a","path":"/x,y"},{"name":"b","path":"/z"}])";
    const std::vector<std::string> words =
        attached ? std::vector<std::string>{"--lora_modules=" + list} : std::vector<std::string>{"--lora-modules", "c=/d", list};
    const std::vector<std::string> own = translated(words).words;
    EXPECT_EQ(own.front(), "--lora-modules");
    EXPECT_EQ(own[own.size() - 2], R"({"name":"a","path":"/x,y"})");
    EXPECT_EQ(own.back(), R"({"name":"b","path":"/z"})");
  }
}

TEST(PeerOptions, WhatWouldChangeTheAnswersIsRefusedWithWhatToDo) {
  EXPECT_THAT(refusal_of_words({"--quantization", "awq"}),
              AllOf(HasSubstr("--quantization"), HasSubstr("awq"), HasSubstr("--weights int8")));
  EXPECT_THAT(refusal_of_words({"--dtype=float16"}), AllOf(HasSubstr("--dtype: expected auto bfloat16"), HasSubstr("float16")));
  EXPECT_THAT(refusal_of_words({"--enable-auto-tool-choice", "--tool-parser-plugin", "p.py"}), HasSubstr("docs/tools.md lists"));
  EXPECT_THAT(refusal_of_words({"--pipeline-parallel-size", "2"}), HasSubstr("start several"));
  EXPECT_THAT(refusal_of_words({"--lora", "a.gguf"}), HasSubstr("--lora-modules NAME=DIR"));
  EXPECT_THAT(refusal_of_words({"--ssl-certfile", "x.pem"}), HasSubstr("put a proxy in front"));
  EXPECT_THAT(refusal_of_words({"--tokenizer", "other"}), HasSubstr("model's folder"));
  EXPECT_EQ(refusal_of_words({"--quantization", "none", "-pp", "1"}), "");
}

TEST(PeerOptions, NeedTheirValues) {
  EXPECT_THAT(refusal_of_words({"--max-loras"}), HasSubstr("--max-loras: expected a value, found none"));
  EXPECT_THAT(refusal_of_words({"--max-loras", "--port", "1"}), HasSubstr("--max-loras: expected a value"));
  EXPECT_THAT(translated({"--seed", "-1", "--lora-target-modules", "all", "-tp", "2"}).words, ElementsAre("--shards", "2"));
}

TEST(PeerOptions, EachStandsInOneRowAndInTheDocument) {
  std::ifstream file(source_path("docs/peers.md"));
  const std::string document{std::istreambuf_iterator<char>(file), {}};
  std::set<std::string> seen;
  for (const PeerOption& option : peer_options()) {
    EXPECT_EQ(option.why.empty(), option.rule == PeerRule::renamed) << option.names;
    EXPECT_EQ(option.detail.empty(), option.rule == PeerRule::ignored || option.rule == PeerRule::refused) << option.names;
    for (const std::string& name : words_of_options(option.names)) {
      EXPECT_TRUE(seen.insert(name).second) << name << " stands in two rows";
      EXPECT_THAT(document, HasSubstr("`" + name + "`"));
    }
  }
  EXPECT_GT(seen.size(), 150u);
}

}  // namespace
}  // namespace slora
