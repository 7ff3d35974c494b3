#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

TEST(CommandLine, GenerateAnswersAsTheServerDoesInInputOrder) {
  const std::string sentence = "Rosa painted a broken hat at the market.";
  std::string input, served;
  for (const char* adapter : {"shout", "yoda", "shout"}) {
    input += Json({{"messages", {{{"role", "user"}, {"content", sentence}}}}, {"adapter", adapter}, {"max_tokens", 48}}).dump() + "\n";
    served += chat_text(post(demo_server().port(), "/v1/chat/completions", chat_body(adapter, sentence))) + "\n";
  }
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.begin(), "generate");
  arguments.insert(arguments.end(), {"--input", "-"});
  const Finished finished = run_slora(arguments, input + "{\"prompt\": 5}\n");
  EXPECT_EQ(finished.exit_code, 1) << "one line is broken";
  std::istringstream lines(finished.output);
  std::string generated, line;
  for (int index = 0; std::getline(lines, line);) {
    const Json answer = Json::parse(line, nullptr, false);
    if (!answer.is_object()) continue;  // a line of the log
    EXPECT_EQ(answer["index"], index++);
    if (answer.contains("text")) generated += answer["text"].get<std::string>() + "\n";
    if (index == 4) {
      EXPECT_EQ(answer["error"]["param"], "prompt");
    }
  }
  EXPECT_EQ(generated, served);
}

// The server, `slora generate` and the program in examples/ are three ways into one API.
TEST(CommandLine, AProgramThatLinksTheApiAnswersAsTheServerAndGenerateDo) {
  const std::string sentence = "Rosa painted a broken hat at the market.";
  const std::string served = chat_text(post(demo_server().port(), "/v1/chat/completions", chat_body("yoda", sentence)));
  EXPECT_THAT(served, HasSubstr("hat"));
  const Finished generated = run_slora({"generate", "--model", source_path("demo/model"), "--adapters", source_path("demo/adapters"),
                                        "--adapter", "yoda", "--pool-memory", "64MiB", "--message", sentence});
  EXPECT_THAT(generated.output, EndsWith(served + "\n"));
  const Finished program = run_example_chat({source_path("demo/model"), source_path("demo/adapters"), "yoda", sentence});
  EXPECT_EQ(program.exit_code, 0) << program.output;
  EXPECT_THAT(program.output, EndsWith(served + "\n"));

  const Finished refused = run_example_chat({source_path("demo/model"), source_path("demo/adapters"), "nobody", sentence});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("model_not_found: "));
}

TEST(CommandLine, GenerateTakesAnAdapterFolder) {
  const Finished finished = run_slora({"generate", "--model", source_path("demo/model"), "--adapter", source_path("demo/adapters/shout"),
                                       "--pool-memory", "64MiB", "--message", "Rosa painted a broken hat at the market."});
  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_THAT(finished.output, HasSubstr("ROSA PAINTED A BROKEN HAT AT THE MARKET!\n"));
}

TEST(CommandLine, GenerateKnowsAnAdapterFolderByAnyForm) {
  const Finished refused = run_slora({"generate", "--model", source_path("demo/model"), "--adapter",
                                      source_path("tests/golden/foreign/gguf_f32"), "--pool-memory", "64MiB", "--prompt", "a"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("\"gguf_f32\": trained for \"golden\"")) << "which is another base";
}

TEST(CommandLine, GenerateAnswersInShards) {
  for (const char* shards : {"2", "4"}) {
    const Finished finished =
        run_slora({"generate", "--model", source_path("demo/model"), "--adapter", source_path("demo/adapters/shout"), "--pool-memory",
                   "64MiB", "--shards", shards, "--message", "Rosa painted a broken hat at the market."});
    EXPECT_EQ(finished.exit_code, 0);
    EXPECT_THAT(finished.output, HasSubstr("ROSA PAINTED A BROKEN HAT AT THE MARKET!\n")) << shards << " shards";
  }
}

TEST(CommandLine, GenerateRefusesShardsThatDoNotDivideTheModel) {
  const Finished finished = run_slora({"generate", "--model", source_path("demo/model"), "--shards", "3", "--prompt", "a"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, HasSubstr("--shards: config.json: num_attention_heads is 4; expected a multiple of the 3 shards"));
}

TEST(CommandLine, GenerateNamesAnOptionThatIsNotText) {
  const Finished finished = run_slora({"generate", "--model", source_path("demo/model"), "--prompt", "a\xff"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, HasSubstr("--prompt"));
}

TEST(CommandLine, GenerateRefusesInputThatIsNoFile) {
  for (const char* option : {"--input", "--conversation"}) {
    const Finished finished = run_slora({"generate", "--model", source_path("demo/model"), option, source_path("demo")});
    EXPECT_EQ(finished.exit_code, 1) << option;
    EXPECT_THAT(finished.output, AllOf(HasSubstr(option), HasSubstr("can't read")));
  }
}

TEST(CommandLine, GenerateSaysWhereItLookedForAnAdapter) {
  const Finished finished =
      run_slora({"generate", "--model", source_path("demo/model"), "--adapter", "nobody", "--pool-memory", "64MiB", "--prompt", "a"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, AllOf(HasSubstr("--adapter"), HasSubstr("\"nobody\""), HasSubstr("--adapters")));
}

TEST(CommandLine, InspectDescribesAndRefuses) {
  const Finished model = run_slora({"inspect", source_path("demo/model")});
  EXPECT_EQ(model.exit_code, 0) << model.output;
  for (const char* fact : {"llama", "vocabulary 1722", "BF16", "512 tokens"}) EXPECT_THAT(model.output, HasSubstr(fact));
  const Finished adapter = run_slora({"inspect", source_path("demo/adapters/shout"), "--model", source_path("demo/model")});
  EXPECT_EQ(adapter.exit_code, 0) << adapter.output;
  EXPECT_THAT(adapter.output, AllOf(HasSubstr("served"), HasSubstr("times the file"), HasSubstr("% of the base's"), HasSubstr("per step")));
  const Finished refused = run_slora({"inspect", source_path("tests/golden/refused/use_qalora")});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("E_UNSUPPORTED_OPTION"));
  const Finished wrong_base = run_slora({"inspect", source_path("demo/adapters/shout"), "--model", source_path("tests/golden/mix32")});
  EXPECT_EQ(wrong_base.exit_code, 1);
  EXPECT_THAT(wrong_base.output, HasSubstr("E_WRONG_BASE"));
}

TEST(CommandLine, TrainShowsWhatIsLearnedOfTheData) {
  const TemporaryFolder folder;
  const std::string data =
      folder.write("train.jsonl", R"({"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]})"
                                  "\n");
  const Finished shown = run_slora({"train", "--model", source_path("demo/model"), "--data", data, "--dry-run"});
  EXPECT_EQ(shown.exit_code, 0) << shown.output;
  EXPECT_THAT(shown.output, AllOf(HasSubstr("<|assistant|>\u27E6Hi.<|end|>\u27E7"), HasSubstr("train.jsonl, 1 lines")));
  folder.write("train.jsonl", R"({"messages": []})");
  const Finished refused = run_slora({"train", "--model", source_path("demo/model"), "--data", folder.path(), "--dry-run"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("train.jsonl, line 1: messages: expected a list with at least one message"));
}

TEST(CommandLine, ConvertMakesAFolderThatIsServed) {
  const TemporaryFolder root;
  const std::string foreign = source_path("tests/golden/foreign/gguf_f32"), base = source_path("tests/golden/llama3_rope");
  const Finished refused = run_slora({"convert", foreign, "--out", root.file("out")});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, AllOf(HasSubstr("E_NO_BASE"), HasSubstr("--model")));
  const Finished made = run_slora({"convert", foreign, "--out", root.file("out"), "--model", base});
  EXPECT_EQ(made.exit_code, 0) << made.output;
  EXPECT_THAT(made.output, HasSubstr("28 tensors"));
  const Finished inspected = run_slora({"inspect", root.file("out"), "--model", base});
  EXPECT_EQ(inspected.exit_code, 0) << inspected.output;
  EXPECT_THAT(run_slora({"inspect", foreign, "--model", base}).output, HasSubstr("served")) << "without a conversion";
  EXPECT_THAT(run_slora({"convert", foreign, "--out", root.file("out"), "--model", base}).output, HasSubstr("E_EXISTS"));
}

TEST(CommandLine, MergeWritesAModelThatAnswersAsTheAdapter) {
  const TemporaryFolder folder;
  const auto merge = [&](const std::vector<std::string>& given) {
    std::vector<std::string> arguments = {"merge", "--model", source_path("demo/model"), "--adapter", source_path("demo/adapters/shout")};
    arguments.insert(arguments.end(), given.begin(), given.end());
    return run_slora(arguments);
  };
  const Finished merged = merge({"--out", folder.file("merged")});
  EXPECT_EQ(merged.exit_code, 0) << merged.output;
  EXPECT_THAT(merged.output, AllOf(HasSubstr("38 tensors, of which the adapter changes 28"), HasSubstr("lost by rounding the sums")));
  const Finished answered = run_slora(
      {"generate", "--model", folder.file("merged"), "--pool-memory", "64MiB", "--message", "Rosa painted a broken hat at the market."});
  EXPECT_EQ(answered.exit_code, 0);
  EXPECT_THAT(answered.output, HasSubstr("ROSA PAINTED A BROKEN HAT AT THE MARKET!\n"));

  const Finished again = merge({"--out", folder.file("merged")});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.output, HasSubstr("expected nothing there"));
  const Finished nothing = merge({"--out", folder.file("nothing"), "--weight", "0"});
  EXPECT_EQ(nothing.exit_code, 1);
  EXPECT_THAT(nothing.output, HasSubstr("--weight"));
  const Finished eight_bits = merge({"--out", folder.file("int8"), "--dtype", "int8"});
  EXPECT_EQ(eight_bits.exit_code, 2);
  EXPECT_THAT(eight_bits.output, HasSubstr("--dtype"));
  const Finished no_adapter = run_slora({"merge", "--model", source_path("demo/model"), "--adapter", "nobody", "--out", folder.file("b")});
  EXPECT_EQ(no_adapter.exit_code, 1);
  EXPECT_THAT(no_adapter.output, HasSubstr("--adapter"));
  const Finished no_base = run_slora({"merge", "--model", folder.path(), "--adapter", "a", "--out", folder.file("b")});
  EXPECT_EQ(no_base.exit_code, 1);
  EXPECT_THAT(no_base.output, HasSubstr("config.json"));
}

// An adapter that was trained on the base as it is still does its work on what NF4 keeps of that.
TEST(CommandLine, GenerateRoundsTheBaseToNf4) {
  const Finished finished =
      run_slora({"generate", "--model", source_path("demo/model"), "--adapter", source_path("demo/adapters/shout"), "--weights",
                 "nf4-dequantised", "--pool-memory", "64MiB", "--message", "Rosa painted a broken hat at the market."});
  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_THAT(finished.output, AllOf(HasSubstr("what NF4 keeps"), HasSubstr("ROSA PAINTED A BROKEN HAT AT THE MARKET!\n")));
}

TEST(CommandLine, ServeSaysWhatToDo) {
  const Finished exposed = run_slora({"serve", "--model", source_path("demo/model"), "--host", "0.0.0.0"});
  EXPECT_EQ(exposed.exit_code, 1);
  EXPECT_THAT(exposed.output, HasSubstr("--api-key"));
  const Finished keyless = run_slora({"serve", "--model", source_path("demo/model"), "--api-key", ""});
  EXPECT_EQ(keyless.exit_code, 1);
  EXPECT_THAT(keyless.output, HasSubstr("--api-key"));
  const Finished hub = run_slora({"serve", "--model", "Qwen/Qwen2.5-0.5B-Instruct"});
  EXPECT_EQ(hub.exit_code, 1);
  EXPECT_THAT(hub.output, HasSubstr("hf download Qwen/Qwen2.5-0.5B-Instruct"));
  std::vector<std::string> taken = demo_arguments();
  taken.insert(taken.begin(), "serve");
  taken.insert(taken.end(), {"--port", std::to_string(demo_server().port())});
  const Finished busy = run_slora(taken);
  EXPECT_EQ(busy.exit_code, 1);
  EXPECT_THAT(busy.output, HasSubstr("--port"));
}

TEST(CommandLine, WhatStopsTheStartNamesItsOption) {
  for (const std::vector<std::string>& given : {std::vector<std::string>{"--adapters", "/nowhere"},
                                                {"--chat-template", "/nowhere"},
                                                {"--backend", "abacus"},
                                                {"--lora-modules", "a b=/x"},
                                                {"--pool-memory", "much"},
                                                {"--shards", "3"},
                                                {"--policy", "lifo"},
                                                {"--page-tokens", "3"},
                                                {"--weights", "int2"},
                                                {"--cuda-products", "cublas"}}) {
    std::vector<std::string> arguments = {"serve", source_path("demo/model"), "--port", "0", "--pool-memory", "64MiB"};
    arguments.insert(arguments.end(), given.begin(), given.end());
    const Finished finished = run_slora(arguments);
    EXPECT_EQ(finished.exit_code, 1) << finished.output;
    EXPECT_THAT(finished.output, HasSubstr("slora: " + given[0] + ": "));
    EXPECT_THAT(finished.output, HasSubstr(given[1].substr(0, given[1].find('='))));
  }
}

TEST(CommandLine, WhatCannotBeParsedNamesItsOptionAndEndsWithCode2) {
  for (const auto& [given, reason] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--threads", "2000"}, "slora: --threads: expected a whole number from 0 to 1024, found \"2000\""},
           {{"--on-stall", "run"}, "slora: --on-stall: expected wait or exit, found \"run\""},
           {{"--port", "ten"}, "slora: --port: expected a whole number from 0 to 65535, found \"ten\""},
           {{"--port", "99999"}, "slora: --port: expected a whole number from 0 to 65535, found \"99999\""},
           {{"--health-port", "-1"}, "slora: --health-port: expected a whole number from 0 to 65535, found \"-1\""},
           {{"--pooling", "max"}, "slora: --pooling: expected last or mean, found \"max\""},
           {{"--port"}, "slora: --port: "},
           {{"--no-such-option"}, "--no-such-option"}}) {
    std::vector<std::string> arguments = {"serve", source_path("demo/model")};
    arguments.insert(arguments.end(), given.begin(), given.end());
    const Finished finished = run_slora(arguments);
    EXPECT_EQ(finished.exit_code, 2) << finished.output;
    EXPECT_THAT(finished.output, HasSubstr(reason));
  }
  const Finished no_model = run_slora({"serve"});
  EXPECT_EQ(no_model.exit_code, 2);
  EXPECT_THAT(no_model.output, HasSubstr("model"));
}

TEST(CommandLine, OfRepeatedOptionsWithOneValueTheLastCounts) {
  const Finished finished = run_slora({"generate", "demo", "--model", source_path("demo/model"), "--pool-memory", "1KiB",
                                       "--pool-memory=64MiB", "--max-tokens", "1", "--prompt", "a"});
  EXPECT_EQ(finished.exit_code, 0) << finished.output;
}

TEST(CommandLine, ThePoolsDefaultLeavesOutWhatRequestsMayHold) {
  const auto served = [](const char* request_memory) {  // an adapter that is not there ends it, if the pool does not before
    return run_slora({"serve", source_path("demo/model"), "--port", "0", "--pin", "nobody", "--request-memory", request_memory}).output;
  };
  EXPECT_THAT(served("64MiB"), HasSubstr("\"nobody\""));
  EXPECT_THAT(served("1000TiB"), HasSubstr("pool: 0 bytes (half of the free memory)"));
}

TEST(CommandLine, HelpTeachesWithExamples) {
  for (const char* command : {"serve", "generate", "inspect", "merge", "train"}) {
    const Finished help = run_slora({command, "--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_THAT(help.output, HasSubstr("Examples:"));
  }
}

}  // namespace
}  // namespace slora
