// Adapters that are not in the server's folders when it starts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <future>
#include <thread>
#include <vector>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"
#include "formats/json.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

// A demo whose adapters are fetched.
class Fetched : public ::testing::Test {
 protected:
  std::string program() const {
    const std::string path = folder_.write("fetch", "#!/bin/sh\necho \"$1\" >> " + folder_.file("calls") +
                                                        "\ncase $1 in */slow) sleep 2;; */missing) exit 3;; */failing) exit 1;; esac\n"
                                                        "cp " +
                                                        source_path("demo/adapters/yoda") + "/* $3\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }
  std::vector<std::string> arguments() const {
    return {"--model",
            source_path("demo/model"),
            "--served-model-name",
            "demo",
            "--pool-memory",
            "64MiB",
            "--adapter-source",
            "acme/=" + program(),
            "--adapter-source",
            "s3://=" + program(),
            "--adapter-cache",
            folder_.file("cache")};
  }
  std::string calls() const { return read_text_file(folder_.file("calls"), 1 << 20).value_or(""); }

  const TemporaryFolder folder_;
};

TEST_F(Fetched, ByTheFirstRequestAndOnceForAll) {
  ServerProcess server(arguments());
  const std::uint16_t port = server.port();
  std::vector<std::future<std::string>> answers;
  for (int i = 0; i < 100; ++i) {
    answers.push_back(std::async(std::launch::async, [&] {
      return chat_text(post(port, "/v1/chat/completions", chat_body("acme/slow", "Clara found a rusty key.")));
    }));
  }
  EXPECT_EQ(chat_text(post(port, "/v1/chat/completions", chat_body("acme/yoda", "Clara found a rusty key."))),
            "A rusty key, Clara found. Hmm.");
  EXPECT_EQ(calls().find("acme/yoda") != std::string::npos, true);
  for (std::future<std::string>& answer : answers) EXPECT_EQ(answer.get(), "A rusty key, Clara found. Hmm.");
  std::size_t count = 0;
  const std::string all = calls();
  for (std::size_t at = all.find("acme/slow"); at != std::string::npos; at = all.find("acme/slow", at + 1)) ++count;
  EXPECT_EQ(count, 1U);
  EXPECT_THAT(get(port, "/v1/models").body, HasSubstr(R"("id":"acme/slow")"));
}

TEST_F(Fetched, OrRefusedWithoutAnotherCall) {
  ServerProcess server(arguments());
  const auto ask = [&](const std::string& model) {
    const Reply reply = post(server.port(), "/v1/completions", {{"model", model}, {"prompt", "a"}, {"max_tokens", 1}});
    return std::to_string(reply.status) + " " + reply.json()["error"]["code"].get<std::string>();
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ask("acme/missing"), "404 model_not_found");
    EXPECT_EQ(ask("acme/failing"), "503 adapter_unavailable");
    EXPECT_EQ(ask("other/missing"), "404 model_not_found");
    EXPECT_EQ(ask("acme/../missing"), "404 model_not_found");
  }
  EXPECT_EQ(calls(), "acme/missing\nacme/failing\n");
}

TEST_F(Fetched, ByAddress) {
  ServerProcess server(arguments());
  const std::uint16_t port = server.port();
  const auto load = [&](Json more) {
    Json body = {{"lora_name", "sql"}, {"lora_path", "s3://bucket/sql"}, {"load_inplace", true}};
    body.update(more);
    return post(port, "/v1/load_lora_adapter", body);
  };
  EXPECT_EQ(load(Json::object()).status, 200);
  EXPECT_EQ(chat_text(post(port, "/v1/chat/completions", chat_body("sql", "Clara found a rusty key."))), "A rusty key, Clara found. Hmm.");
  EXPECT_EQ(load({{"sha256", std::string(64, '0')}}).json()["error"]["code"], "E_CONTENT");
  EXPECT_EQ(load({{"lora_path", "gs://bucket/sql"}}).status, 403);
  EXPECT_EQ(load({{"lora_path", "s3://bucket/missing"}}).status, 404);
  EXPECT_EQ(load({{"revision", "--help"}}).json()["error"]["param"], "revision");
}

// The demo's yoda as a body, with its numbers or others.
std::string body_of_yoda(std::byte changed) {
  const std::string file = read_text_file(source_path("demo/adapters/yoda/adapter_model.safetensors"), 16 << 20).value();
  const std::string config = read_text_file(source_path("demo/adapters/yoda/adapter_config.json"), 1 << 20).value();
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, file.data(), sizeof bytes);
  nlohmann::ordered_json header = nlohmann::ordered_json::parse(file.substr(sizeof bytes, bytes));
  header["__metadata__"] = {{"adapter_config", config}};
  const std::string text = header.dump();
  const std::uint64_t text_bytes = text.size();
  std::string body(sizeof text_bytes, '\0');
  std::memcpy(body.data(), &text_bytes, sizeof text_bytes);
  std::string numbers = file.substr(sizeof bytes + bytes);
  if (changed != std::byte{0}) std::ranges::fill(numbers, static_cast<char>(changed));
  return body + text + numbers;
}

TEST(Pushed, TensorsAreServedByTheNextRequest) {
  ServerProcess server(demo_arguments());
  const std::uint16_t port = server.port();
  const auto put = [&](const std::string& name, const std::string& body, const char* type = "application/octet-stream") {
    Connection connection(port);
    connection.send("PUT /slora/adapters/" + name + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + type +
                    "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    return connection.read_reply();
  };
  const auto answer = [&] { return chat_text(post(port, "/v1/chat/completions", chat_body("policy", "Clara found a rusty key."))); };
  const std::string base = chat_text(post(port, "/v1/chat/completions", chat_body("demo", "Clara found a rusty key.")));
  const Reply first = put("policy", body_of_yoda(std::byte{0}));
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(first.json()["sha256"].get<std::string>().size(), 64U);
  EXPECT_EQ(answer(), "A rusty key, Clara found. Hmm.");
  // Of bf16 0x0101: too small to change anything.
  const Reply second = put("policy", body_of_yoda(std::byte{1}));
  ASSERT_EQ(second.status, 200) << second.body;
  EXPECT_NE(first.json()["sha256"], second.json()["sha256"]);
  EXPECT_EQ(answer(), base);
  const Reply broken = put("policy", body_of_yoda(std::byte{0xff}));  // NaN
  EXPECT_EQ(broken.status, 400);
  EXPECT_EQ(broken.json()["error"]["code"], "E_NONFINITE");
  EXPECT_EQ(answer(), base) << "the name keeps its meaning";
  EXPECT_EQ(put("demo", body_of_yoda(std::byte{0})).json()["error"]["code"], "name_taken");
  EXPECT_EQ(put("policy", "{}", "application/json").status, 415);
  EXPECT_EQ(post(port, "/v1/unload_lora_adapter", {{"lora_name", "policy"}}).status, 200);
  EXPECT_EQ(post(port, "/v1/chat/completions", chat_body("policy", "a")).status, 404);
}

TEST(Hub, FoldersOfItsCacheAreServedByTheirNames) {
  const TemporaryFolder hub;
  const std::string model = hub.file("models--org--yoda");
  std::filesystem::create_directories(model + "/blobs");
  std::filesystem::create_directories(model + "/snapshots/0123abc");
  for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
    std::filesystem::copy_file(source_path(std::string("demo/adapters/yoda/") + file), model + "/blobs/" + file);
    std::filesystem::create_symlink(std::string("../../blobs/") + file, model + "/snapshots/0123abc/" + file);
  }
  hub.write("models--org--yoda/refs/main", "0123abc");
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--hub-cache", hub.path()});
  ServerProcess server(arguments);
  EXPECT_EQ(chat_text(post(server.port(), "/v1/chat/completions", chat_body("org/yoda", "Clara found a rusty key."))),
            "A rusty key, Clara found. Hmm.");
  EXPECT_EQ(post(server.port(), "/v1/chat/completions", chat_body("org/other", "a")).status, 404);
}

}  // namespace
}  // namespace slora
