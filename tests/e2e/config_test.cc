// Ways in which other programs start the server: vLLM's command line, and files of options.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kSentence = "Rosa painted a broken hat at the market.";

std::string link_named_vllm(const TemporaryFolder& folder) {
  const std::string path = folder.file("vllm");
  std::filesystem::create_symlink(slora_program(), path);
  return path;
}

std::string write_file(const TemporaryFolder& folder, const std::string& name, const std::string& text) {
  std::ofstream(folder.file(name)) << text;
  return folder.file(name);
}

// As KServe starts `vllm serve`: every adapter comes under two names, and so does the base.
TEST(Vllm, AnArgumentListOfKserveStartsTheServerAndAllNamesAnswer) {
  const TemporaryFolder folder;
  const auto module = [](const std::string& name, const std::string& adapter) {
    return Json({{"name", name}, {"path", source_path("demo/adapters/" + adapter)}, {"base_model_name", "demo"}}).dump();
  };
  ServerProcess server({source_path("demo/model"),
                        "--served-model-name",
                        "demo",
                        "publishers/team/models/demo",
                        "--enable-lora",
                        "--max-loras",
                        "2",
                        "--max-lora-rank",
                        "32",
                        "--max-cpu-loras",
                        "4",
                        "--lora-modules",
                        module("shout", "shout"),
                        module("publishers/team/models/shout", "shout"),
                        module("yoda", "yoda"),
                        module("publishers/team/models/yoda", "yoda"),
                        "--disable-access-log-for-endpoints",
                        "/health,/metrics",
                        "--disable-uvicorn-access-log",
                        "--tensor-parallel-size",
                        "1",
                        "--shutdown-timeout",
                        "20",
                        "--pool-memory=64MiB"},
                       {}, link_named_vllm(folder));
  EXPECT_EQ(get(server.port(), "/health").status, 200);
  std::string last;
  for (const char* adapter : {"shout", "yoda", "demo"}) {
    const std::string text = chat_text(post(server.port(), "/v1/chat/completions", chat_body(adapter, kSentence)));
    const std::string published = std::string("publishers/team/models/") + adapter;
    EXPECT_EQ(chat_text(post(server.port(), "/v1/chat/completions", chat_body(published, kSentence))), text);
    EXPECT_THAT(text, AllOf(Not(HasSubstr("status")), Not(last)));
    last = text;
  }
  server.signal(SIGTERM);
  EXPECT_EQ(server.exit_code(), 0);
}

TEST(Vllm, VersionEndsWithTheReleaseWhoseOptionsAreKnown) {
  const TemporaryFolder folder;
  EXPECT_THAT(run_other_program(link_named_vllm(folder), {"--version"}).output, EndsWith(" 0.18.0\n"));
  EXPECT_THAT(run_slora({"--version"}).output, Not(HasSubstr("vLLM")));
}

TEST(Vllm, TlsIsRefusedByName) {
  for (const char* option : {"--ssl-certfile", "--ssl-keyfile"}) {
    const Finished refused = run_slora({"serve", source_path("demo/model"), option, "/tls/file.pem"});
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_THAT(refused.output, AllOf(HasSubstr(option), HasSubstr("no TLS")));
  }
}

TEST(Config, StartsTheServerAndTheCommandLineWins) {
  const TemporaryFolder folder;
  const std::string config =
      write_file(folder, "slora.yaml",
                 "model: /nowhere\n"
                 "served_model_name: [other]\n"
                 "pool-memory: 64MiB\n"
                 "enable-lora: true\n"
                 "lora-modules:\n"
                 "  - shout=" +
                     source_path("demo/adapters/shout") + "\n" + "  - {name: yoda, path: " + source_path("demo/adapters/yoda") + "}\n");
  const ServerProcess server({"--config", config, source_path("demo/model"), "--served-model-name", "demo"});
  EXPECT_THAT(server.first_output(),
              AllOf(HasSubstr("pool: 64.0 MiB"), HasSubstr("adapters: 2 served"), HasSubstr(config + ":4: --enable-lora has no effect")));
  EXPECT_THAT(chat_text(post(server.port(), "/v1/chat/completions", chat_body("demo", kSentence))), Not(HasSubstr("status")));
  EXPECT_EQ(post(server.port(), "/v1/chat/completions", chat_body("other", kSentence)).status, 404);
}

TEST(Config, WhatIsWrongIsNamedWithFileLineAndKey) {
  const TemporaryFolder folder;
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"threads: 2000", "--threads: expected a whole number from 0 to 1024, found \"2000\""},
           {"max-waitng: 3", "max-waitng: there is no such option"},
           {"pool-memory: much", "--pool-memory: expected a size"},
           {"quantization: awq", "--quantization: expected none None"},
           {"config: other.yaml", "config: expected an option of the server"},
           {"prefault-pool: maybe", "--prefault-pool"},
           {"port: {a: 1}", "--port"}}) {
    const std::string config = write_file(folder, "wrong.yaml", "# options\n" + text + "\n");
    const Finished refused = run_slora({"serve", source_path("demo/model"), "--port", "0", "--config", config});
    EXPECT_EQ(refused.exit_code, 1) << refused.output;
    EXPECT_THAT(refused.output, HasSubstr("slora: " + config + ":2: " + expected));
  }
  const Finished missing = run_slora({"serve", "--config", folder.file("none")});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.output, AllOf(HasSubstr("--config: "), HasSubstr("no such file")));
}

}  // namespace
}  // namespace slora
