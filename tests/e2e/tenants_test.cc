#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <thread>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

// SHA-256 of "key-a" and "key-b".
constexpr const char* kDigestA = "f10f781241e2246678b6b45c857069208152a53863e47fac33f607ab405006f4";
constexpr const char* kDigestB = "a30534a53b23547377ddccbd1ac85a8a84c13db43493c16e55a6abc7b0eba634";

const std::vector<std::string> kKeyA = {"Authorization: Bearer key-a"}, kKeyB = {"Authorization: Bearer key-b"};

Json entry(const char* tenant, const char* digest, const std::vector<std::string>& models) {
  return {{"tenant", tenant}, {"key_sha256", digest}, {"models", models}};
}

// Two tenants, each with adapters of its own.
class Tenants : public ::testing::Test {
 protected:
  // Replaces the file as a careful operator does.
  std::string write_keys(const Json& entries) const {
    const std::string path = folder_.write("keys.new", Json{{"keys", entries}}.dump());
    std::filesystem::rename(path, folder_.path() + "/keys.json");
    return folder_.path() + "/keys.json";
  }

  static inline const Json a_entry = entry("a", kDigestA, {"demo", "shout"}), b_entry = entry("b", kDigestB, {"demo", "pi*"});
  const TemporaryFolder folder_;
  const std::string file_ = write_keys(Json::array({a_entry, b_entry}));
  const ServerProcess server_{{"--model", source_path("demo/model"), "--served-model-name", "demo", "--adapters",
                               source_path("demo/adapters"), "--pool-memory", "64MiB", "--api-key-file", file_, "--admin-api-key", "root"}};
  const std::uint16_t port_ = server_.port();
};

TEST_F(Tenants, SeeAndUseOnlyTheirOwnModels) {
  const auto listed = [&](const std::vector<std::string>& key) {
    std::vector<std::string> names;
    const Json models = get(port_, "/v1/models", key).json();
    for (const Json& model : models["data"]) names.push_back(model["id"]);
    return names;
  };
  EXPECT_THAT(listed(kKeyA), ::testing::ElementsAre("demo", "shout"));
  EXPECT_THAT(listed(kKeyB), ::testing::ElementsAre("demo", "pirate"));
  EXPECT_EQ(post(port_, "/v1/chat/completions", chat_body("shout", "Hello"), kKeyA).status, 200);
  EXPECT_EQ(get(port_, "/v1/models/shout", kKeyA).status, 200);

  // The other's adapter, which is resident by now, is answered like one that does not exist.
  const auto same_as_unknown = [](std::string other, const std::string& unknown) {
    for (std::size_t at = other.find("shout"); at != std::string::npos; at = other.find("shout")) other.replace(at, 5, "nobody");
    EXPECT_EQ(other, unknown);
  };
  for (const char* path : {"/v1/chat/completions", "/tokenize"}) {
    const Reply other = post(port_, path, chat_body("shout", "Hello"), kKeyB);
    EXPECT_EQ(other.status, 404) << path << other.body;
    same_as_unknown(other.body, post(port_, path, chat_body("nobody", "Hello"), kKeyB).body);
  }
  const Reply other = get(port_, "/v1/models/shout", kKeyB);
  EXPECT_EQ(other.status, 404);
  same_as_unknown(other.body, get(port_, "/v1/models/nobody", kKeyB).body);
  EXPECT_EQ(post(port_, "/generate", {{"text", "Hi"}, {"lora_path", "shout"}}, kKeyB).status, 404);
  EXPECT_EQ(post(port_, "/detokenize", {{"model", "shout"}, {"tokens", {5}}}, kKeyB).status, 404);
  for (const char* path : {"/v1/load_lora_adapter", "/v1/unload_lora_adapter"}) {
    EXPECT_EQ(post(port_, path, {{"lora_name", "shout"}, {"lora_path", "shout"}}, kKeyB).status, 403) << path;
  }
}

TEST_F(Tenants, LoseAKeyWithinASecondOfItsRemoval) {
  ASSERT_EQ(get(port_, "/v1/models", kKeyA).status, 200);
  write_keys(Json::array({b_entry}));
  std::this_thread::sleep_for(std::chrono::seconds(1));
  EXPECT_EQ(get(port_, "/v1/models", kKeyA).status, 401);
  EXPECT_EQ(get(port_, "/v1/models", kKeyB).status, 200);
  write_keys(Json::array({a_entry, b_entry}));
  std::this_thread::sleep_for(std::chrono::seconds(1));
  EXPECT_EQ(get(port_, "/v1/models", kKeyA).status, 200);
}

// One key's sequences have all places of the steps and half of the queue.
TEST_F(Tenants, AreAnsweredWhileAnotherFloodsTheServer) {
  const auto completion = [&](const Json& prompts, int n, int max_tokens, const std::vector<std::string>& key) {
    return post(port_, "/v1/completions",
                {{"model", "demo"}, {"prompt", prompts}, {"n", n}, {"max_tokens", max_tokens}, {"ignore_eos", true}}, key);
  };
  std::vector<std::future<Reply>> flood;  // 512 sequences
  for (int i = 0; i < 8; ++i) {
    flood.push_back(std::async(std::launch::async, [&] { return completion(std::vector<std::string>(8, "One"), 8, 60, kKeyA); }));
  }
  const auto all_places_are_taken = [&] {
    return get(port_, "/metrics", {"Authorization: Bearer root"}).body.find("num_requests_waiting{model_name=\"demo\"} 256") !=
           std::string::npos;
  };
  for (int i = 0; i < 1000 && !all_places_are_taken(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const Reply refused = completion("Me", 1, 1, kKeyA);
  ASSERT_EQ(refused.status, 429);
  EXPECT_EQ(refused.json()["error"]["code"], "client_queue_full");
  EXPECT_EQ(completion("Me", 1, 4, kKeyB).status, 200);
  EXPECT_EQ(flood.back().wait_for(std::chrono::seconds(0)), std::future_status::timeout) << "the flood ended before the other was answered";
  for (std::future<Reply>& reply : flood) EXPECT_EQ(reply.get().status, 200);
}

}  // namespace
}  // namespace slora
