#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <thread>

#include "adapters/testing/foreign_fixture.h"
#include "base/testing/source_path.h"
#include "e2e/demo_server.h"
#include "formats/json.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

namespace fs = std::filesystem;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kSentence = "Rosa painted a broken hat at the market.";
constexpr const char* kShouted = "ROSA PAINTED A BROKEN HAT AT THE MARKET!";

// A server of the demo model over adapters of its own, that come, change and go.
struct AdapterLife : ::testing::Test {
  AdapterLife() {
    copy("shout", "shout");
    copy("yoda", "stock/yoda");
    fs::create_directories(root.file("stock/broken"));
    fs::copy_file(source_path("tests/golden/refused/use_qalora/adapter_config.json"), root.file("stock/broken/adapter_config.json"));
  }
  void start(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {
        "--model", source_path("demo/model"), "--served-model-name", "demo", "--adapters", root.path(), "--pool-memory", "64MiB"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    server.emplace(arguments);
  }
  void copy(const std::string& adapter, const std::string& to) const {
    fs::create_directories(root.file(to));
    fs::copy(source_path("demo/adapters/" + adapter), root.file(to));
  }
  Reply ask(const std::string& path, const Json& body, const std::vector<std::string>& headers = {}) const {
    return post(server->port(), path, body, headers);
  }
  Reply load(const std::string& name, const std::string& path, bool in_place = false) const {
    return ask("/v1/load_lora_adapter", {{"lora_name", name}, {"lora_path", path}, {"load_inplace", in_place}});
  }
  std::string says(const std::string& model) const { return chat_text(ask("/v1/chat/completions", chat_body(model, kSentence))); }
  bool lists(const std::string& name) const {
    return get(server->port(), "/v1/models").body.find("\"id\":\"" + name + "\"") != std::string::npos;
  }
  // Polls, since folders are looked at every second; a minute at most.
  bool comes_to_list(const std::string& name, bool wanted) const {
    for (int i = 0; i < 600; ++i) {
      if (lists(name) == wanted) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  }

  bool metric_comes_to(const std::string& name, double value) const {
    for (int i = 0; i < 600; ++i) {
      if (metric(server->port(), name) == value) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  }

  const TemporaryFolder root;
  std::optional<ServerProcess> server;
};

TEST_F(AdapterLife, GivesAnAdapterForLongerTextsItsOwnContext) {
  copy("shout", "long");
  const std::string path = root.file("long/adapter_config.json");
  Json config = read_json_file(path).value();
  config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 2.0}};
  root.write("long/adapter_config.json", config.dump());
  start();
  std::map<std::string, Json> lengths;
  const Json models = get(server->port(), "/v1/models").json();
  for (const Json& model : models["data"]) lengths[model["id"]] = model["max_model_len"];
  EXPECT_EQ(lengths["demo"], 512);
  EXPECT_EQ(lengths["shout"], 512);
  EXPECT_EQ(lengths["long"], 1024);
  EXPECT_EQ(get(server->port(), "/v1/models/long").json()["max_model_len"], 1024);
  EXPECT_EQ(ask("/tokenize", {{"model", "long"}, {"prompt", "Hi"}}).json()["max_model_len"], 1024);
  EXPECT_EQ(ask("/tokenize", {{"model", "shout"}, {"prompt", "Hi"}}).json()["max_model_len"], 512);

  const auto complete = [&](const std::string& model, std::size_t prompt_tokens) {
    return ask("/v1/completions", {{"model", model}, {"prompt", std::vector<int>(prompt_tokens, 300)}, {"max_tokens", 2}});
  };
  EXPECT_EQ(complete("long", 1022).status, 200);
  EXPECT_EQ(complete("shout", 510).status, 200);
  for (const auto& [model, context] : {std::pair("long", 1024), std::pair("shout", 512), std::pair("demo", 512)}) {
    const Reply refused = complete(model, static_cast<std::size_t>(context) - 1);
    EXPECT_EQ(refused.status, 400) << model;
    EXPECT_THAT(refused.json()["error"]["message"].get<std::string>(),
                HasSubstr("This model's maximum context length is " + std::to_string(context) + " tokens"));
  }
}

TEST_F(AdapterLife, LoadsAndUnloadsAsVllmDoes) {
  start();
  EXPECT_EQ(says("master"), "status 404");
  const Reply loaded = load("master", "stock/yoda");
  EXPECT_EQ(loaded.status, 200) << loaded.body;
  EXPECT_EQ(loaded.body, "Success: LoRA adapter 'master' added successfully.");
  EXPECT_TRUE(lists("master"));
  const std::string yoda = says("master");
  EXPECT_NE(yoda, says("demo"));
  EXPECT_NE(yoda, kShouted);

  const Reply taken = load("master", root.file("shout"));
  EXPECT_EQ(taken.status, 400);
  EXPECT_EQ(taken.json()["error"]["param"], "lora_name");
  EXPECT_EQ(says("master"), yoda);
  EXPECT_EQ(load("master", root.file("shout"), true).status, 200);
  EXPECT_EQ(says("master"), kShouted);

  const Reply unloaded = ask("/v1/unload_lora_adapter", {{"lora_name", "master"}, {"lora_int_id", 3}});
  EXPECT_EQ(unloaded.status, 200);
  EXPECT_EQ(unloaded.body, "Success: LoRA adapter 'master' removed successfully.");
  EXPECT_EQ(says("master"), "status 404");
  EXPECT_FALSE(lists("master"));
  EXPECT_EQ(ask("/v1/unload_lora_adapter", {{"lora_name", "master"}}).status, 404);
  EXPECT_EQ(says("shout"), kShouted) << "another name of the same folder";
}

TEST_F(AdapterLife, KeepsANamesMeaningWhenTheNewContentIsRefused) {
  start();
  ASSERT_EQ(says("shout"), kShouted);
  fs::copy(root.file("stock/yoda"), root.file("stock/torn"), fs::copy_options::recursive);
  fs::resize_file(root.file("stock/torn/adapter_model.safetensors"), 1000);
  for (const auto& [path, status, code] :
       std::vector<std::tuple<std::string, int, std::string>>{{"stock/broken", 400, "E_UNSUPPORTED_OPTION"},
                                                              {"stock/torn", 400, "E_SAFETENSORS"},
                                                              {"stock", 400, "E_NO_CONFIG"},
                                                              {"stock/nobody", 404, "not_found"},
                                                              {"/etc", 403, "not_permitted"},
                                                              {"../" + root.path(), 403, "not_permitted"}}) {
    const Reply refused = load("shout", path, true);
    EXPECT_EQ(refused.status, status) << path << refused.body;
    EXPECT_EQ(refused.json()["error"]["code"], code) << path;
    EXPECT_EQ(refused.json()["error"]["param"], "lora_path") << path;
    EXPECT_EQ(says("shout"), kShouted) << path;
  }
  for (const char* name : {"", "../up", "demo", "a b"}) {
    const Reply refused = load(name, "stock/yoda", true);
    EXPECT_EQ(refused.status, 400) << name;
    EXPECT_EQ(refused.json()["error"]["param"], "lora_name") << name;
  }
  EXPECT_EQ(get(server->port(), "/v1/models").json()["data"].size(), 2u);
}

TEST_F(AdapterLife, LetsRunningRequestsFinishUnderTheOldContent) {
  start({"--backend", "reference"});
  Json body = long_stream_body();
  body["model"] = "shout";
  body["temperature"] = 0;
  const Json whole = ask("/v1/completions", body).events();
  Connection running(server->port());
  running.send_request("POST", "/v1/completions", body.dump());
  running.read_until("data: ");
  EXPECT_EQ(load("shout", "stock/yoda", true).status, 200);
  EXPECT_NE(says("shout"), kShouted) << "new requests have the new content";
  EXPECT_EQ(ask("/v1/unload_lora_adapter", {{"lora_name", "shout"}}).status, 200);
  EXPECT_EQ(says("shout"), "status 404");
  const Reply reply = running.read_reply();
  EXPECT_TRUE(reply.is_whole);
  ASSERT_EQ(reply.events().size(), whole.size());
  for (std::size_t i = 0; i < whole.size(); ++i) EXPECT_EQ(reply.events()[i]["choices"][0]["text"], whole[i]["choices"][0]["text"]);
}

TEST_F(AdapterLife, ServesAFolderOfAnotherProgramAndWhatItBecomes) {
  write_as_mlx(source_path("demo/adapters/shout"), root.file("mlx"));
  start();
  EXPECT_TRUE(lists("mlx"));
  EXPECT_EQ(says("mlx"), kShouted);
  write_as_mlx(source_path("demo/adapters/yoda"), root.file("mlx.new"));
  for (const char* name : {"/adapter_config.json", "/adapters.safetensors"})
    fs::rename(root.file("mlx.new") + name, root.file("mlx") + name);
  ASSERT_EQ(load("yoda", "stock/yoda").status, 200);
  const std::string changed = says("yoda");
  for (int i = 0; i < 600 && says("mlx") == kShouted; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(says("mlx"), changed);
}

TEST_F(AdapterLife, SpeaksSglangsFormToo) {
  start();
  const Reply loaded = ask("/load_lora_adapter", {{"lora_name", "master"}, {"lora_path", "stock/yoda"}, {"pinned", true}});
  EXPECT_EQ(loaded.status, 200) << loaded.body;
  EXPECT_EQ(loaded.json()["success"], true);
  EXPECT_TRUE(loaded.json()["loaded_adapters"].contains("master"));
  EXPECT_TRUE(loaded.json()["loaded_adapters"].contains("shout"));
  const Reply again = ask("/load_lora_adapter", {{"lora_name", "master"}, {"lora_path", "shout"}});
  EXPECT_EQ(again.status, 400);
  EXPECT_EQ(again.json()["success"], false);
  EXPECT_EQ(again.json()["error_message"], again.json()["error"]["message"]);
  const Reply unloaded = ask("/unload_lora_adapter", {{"lora_name", "master"}});
  EXPECT_EQ(unloaded.json()["success"], true);
  EXPECT_FALSE(unloaded.json()["loaded_adapters"].contains("master"));
}

// A pool of 16 pages of 64 KiB: a request of the longest context takes 8, an adapter 2 to 6.
TEST_F(AdapterLife, StaysInThePoolWhilePinned) {
  for (const char* other : {"emoji", "json", "mood", "pirate", "question", "reverse", "spanish"}) copy(other, other);
  start({"--pool-memory", "1MiB", "--max-model-len", "256"});
  const auto pin = [&](const std::string& name) { return ask("/v1/pin_lora_adapter", {{"lora_name", name}}); };
  const auto unpin = [&](const std::string& name) { return ask("/v1/unpin_lora_adapter", {{"lora_name", name}}); };
  const auto hits = [&] { return metric(server->port(), "slora_adapter_hits_total").value_or(-1); };
  const auto ask_others = [&] {
    for (const char* other : {"emoji", "json", "mood", "pirate", "question", "reverse", "spanish"}) EXPECT_NE(says(other), "status 503");
  };
  const Reply pinned = pin("shout");
  EXPECT_EQ(pinned.status, 200) << pinned.body;
  EXPECT_EQ(pinned.body, "Success: LoRA adapter 'shout' pinned successfully.");
  ASSERT_TRUE(metric_comes_to("slora_adapters_pinned", 1));
  ASSERT_TRUE(metric_comes_to("slora_adapters_resident", 1)) << "without a request for it";
  ask_others();
  EXPECT_GT(metric(server->port(), "slora_adapter_evictions_total"), 0);
  double before = hits();
  EXPECT_EQ(says("shout"), kShouted);
  EXPECT_EQ(hits(), before + 1) << "it was in the pool";

  EXPECT_EQ(pin("nobody").status, 404);
  Reply refused = pin("emoji");
  for (const char* other : {"json", "mood", "pirate"}) {
    if (refused.status == 200) refused = pin(other);
  }
  EXPECT_EQ(refused.status, 400) << refused.body;
  EXPECT_EQ(refused.json()["error"]["code"], "pin_does_not_fit");
  EXPECT_EQ(refused.json()["error"]["param"], "lora_name");
  EXPECT_GE(metric(server->port(), "slora_adapters_pinned"), 1);

  const Reply unpinned = unpin("shout");
  EXPECT_EQ(unpinned.body, "Success: LoRA adapter 'shout' unpinned successfully.");
  EXPECT_EQ(unpin("shout").json()["error"]["code"], "not_pinned");
  ask_others();
  before = hits();
  EXPECT_EQ(says("shout"), kShouted);
  EXPECT_EQ(hits(), before) << "it had left the pool";
}

TEST_F(AdapterLife, IsTheOperatorsWhereThereAreKeys) {
  start({"--api-key", "user", "--admin-api-key", "root"});
  const std::string user = "Authorization: Bearer user", root_key = "Authorization: Bearer root";
  const Json body = {{"lora_name", "master"}, {"lora_path", "stock/yoda"}};
  for (const char* path :
       {"/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/load_lora_adapter", "/unload_lora_adapter", "/flush_cache"}) {
    EXPECT_EQ(ask(path, body).status, 401) << path;
    const Reply refused = ask(path, body, {user});
    EXPECT_EQ(refused.status, 403) << path;
    EXPECT_EQ(refused.json()["error"]["code"], "not_permitted");
    EXPECT_THAT(refused.json()["error"]["message"].get<std::string>(), HasSubstr("--admin-api-key"));
  }
  EXPECT_EQ(ask("/v1/load_lora_adapter", body, {root_key}).status, 200);
  EXPECT_EQ(get(server->port(), "/v1/models/master", {user}).status, 200);
  EXPECT_EQ(get(server->port(), "/v1/models/master", {root_key}).status, 200) << "who may do all that others may";
}

TEST_F(AdapterLife, FollowsFoldersThatComeAndGo) {
  start({"--watch-adapters", "1"});
  EXPECT_FALSE(lists("spanish"));
  copy("spanish", "spanish");
  EXPECT_TRUE(comes_to_list("spanish", true));
  EXPECT_THAT(says("spanish"), HasSubstr("Rosa"));
  fs::remove_all(root.file("spanish"));
  EXPECT_TRUE(comes_to_list("spanish", false));
  EXPECT_EQ(says("spanish"), "status 404");
  EXPECT_EQ(says("shout"), kShouted);
}

TEST_F(AdapterLife, ServesWhatIsInThePoolWhenItsFolderIsDeleted) {
  start();
  Json body = long_stream_body();
  body["model"] = "shout";
  body["temperature"] = 0;
  const Json whole = ask("/v1/completions", body).events();
  const std::string yoda = (load("yoda", "stock/yoda"), says("yoda"));
  Connection running(server->port());
  running.send_request("POST", "/v1/completions", body.dump());
  running.read_until("data: ");
  fs::rename(root.file("shout"), root.file(".shout"));
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // until the server has looked
  EXPECT_EQ(says("shout"), kShouted) << "its image is in the pool";
  const Reply reply = running.read_reply();
  ASSERT_EQ(reply.events().size(), whole.size());
  for (std::size_t i = 0; i < whole.size(); ++i) EXPECT_EQ(reply.events()[i]["choices"][0]["text"], whole[i]["choices"][0]["text"]);

  ASSERT_EQ(ask("/flush_cache", Json::object()).status, 200);
  const Reply refused = ask("/v1/chat/completions", chat_body("shout", kSentence));
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.json()["error"]["code"], "adapter_unavailable");
  EXPECT_THAT(refused.body, Not(HasSubstr(root.path())));
  EXPECT_EQ(metric(server->port(), "slora_adapters_unavailable"), 1);
  EXPECT_EQ(says("yoda"), yoda) << "others are not affected";
  EXPECT_TRUE(lists("shout"));
  fs::rename(root.file(".shout"), root.file("shout"));
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // the refusal is remembered for a second
  EXPECT_EQ(says("shout"), kShouted);
}

TEST_F(AdapterLife, FollowsNoLinkOutOfItsFolders) {
  const TemporaryFolder elsewhere;
  fs::copy(source_path("demo/adapters/spanish"), elsewhere.file("spanish"));
  fs::copy(source_path("demo/adapters/shout"), elsewhere.file("named"));
  fs::create_directory_symlink(elsewhere.file("spanish"), root.file("linked"));
  fs::create_directory_symlink("stock/yoda", root.file("inside"));
  fs::create_directory_symlink(elsewhere.path(), elsewhere.file("root"));
  start({"--watch-adapters", "1", "--lora-modules", "named=" + elsewhere.file("root/named")});
  const Reply refused = ask("/v1/chat/completions", chat_body("linked", kSentence));
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["code"], "E_LINK");
  EXPECT_FALSE(lists("linked"));
  EXPECT_EQ(metric(server->port(), "slora_adapters_refused"), 1);
  EXPECT_EQ(load("other", "linked").status, 403) << "the same by HTTP";
  EXPECT_EQ(load("other", "inside").status, 200);
  EXPECT_EQ(says("other"), says("inside"));
  EXPECT_EQ(says("named"), kShouted) << "the operator named this path";

  fs::create_directory_symlink(elsewhere.file("spanish"), root.file("arrived"));
  EXPECT_TRUE(metric_comes_to("slora_adapters_refused", 2));
  EXPECT_EQ(says("arrived"), "status 400");
  ASSERT_EQ(says("shout"), kShouted);
  fs::remove(root.file("shout/adapter_model.safetensors"));
  fs::create_symlink(elsewhere.file("named/adapter_model.safetensors"), root.file("shout/adapter_model.safetensors"));
  EXPECT_TRUE(metric_comes_to("slora_adapters_refused", 3)) << "a link in place of a file that was served";
  EXPECT_EQ(says("shout"), "status 400");
}

TEST_F(AdapterLife, NeverMixesTheContentsOfAFolderThatIsReplacedOverAndOver) {
  fs::copy(root.file("shout"), root.file("stock/shout"), fs::copy_options::recursive);
  fs::create_directory_symlink("stock/yoda", root.file("flip"));
  start();
  load("a", "stock/shout");
  load("b", "stock/yoda");
  const std::string a = says("a"), b = says("b");
  ASSERT_NE(a, b);
  std::atomic<bool> stop = false;
  std::atomic<int> a_count = 0, b_count = 0, others = 0;
  std::vector<std::jthread> clients;
  for (int i = 0; i < 2; ++i) {
    clients.emplace_back([&] {
      while (!stop) {
        const std::string text = says("flip");
        ++(text == a ? a_count : text == b ? b_count : others);
        EXPECT_THAT(text, testing::AnyOf(a, b, "status 503"));  // 503: it was replaced again while it was read
      }
    });
  }
  for (int i = 0; i < 1000 || (i < 6000 && (a_count < 3 || b_count < 3)); ++i) {
    fs::create_directory_symlink(i % 2 == 0 ? "stock/shout" : "stock/yoda", root.file(".flip"));
    fs::rename(root.file(".flip"), root.file("flip"));
    std::this_thread::sleep_for(std::chrono::milliseconds(i % 100 == 0 ? 700 : 2));
  }
  stop = true;
  clients.clear();
  EXPECT_GT(a_count, 0);
  EXPECT_GT(b_count, 0);
  fs::remove(root.file("flip"));
  fs::create_directory_symlink("stock/shout", root.file("flip"));
  std::this_thread::sleep_for(std::chrono::milliseconds(2000));
  EXPECT_EQ(says("flip"), a) << "the last content, after the documented interval";
}

TEST_F(AdapterLife, ReadsTheFoldersOnceUnlessAsked) {
  start();
  copy("spanish", "spanish");
  EXPECT_EQ(says("spanish"), "status 404");
  EXPECT_EQ(load("spanish", "spanish").status, 200);
}

TEST_F(AdapterLife, ChangesUnderLoadDisturbNobody) {
  start();
  std::atomic<bool> stop = false;
  std::vector<std::jthread> clients;
  std::atomic<int> shouted = 0;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      while (!stop) {
        EXPECT_EQ(says("shout"), kShouted);
        ++shouted;
      }
    });
  }
  for (int round = 0; round < 20 || shouted < 12; ++round) {
    EXPECT_EQ(load("other", round % 2 == 0 ? "stock/yoda" : "shout", true).status, 200);
    if (round % 2 != 0) {
      EXPECT_EQ(says("other"), kShouted);
    }
    EXPECT_EQ(ask("/v1/unload_lora_adapter", {{"lora_name", "other"}}).status, 200);
  }
  stop = true;
  clients.clear();
  EXPECT_EQ(metric(server->port(), "vllm:num_requests_running"), 0);
}

}  // namespace
}  // namespace slora
