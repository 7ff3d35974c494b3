#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <thread>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<std::string> kBrowser = {"Accept: text/html,application/xhtml+xml,*/*;q=0.8"};

struct PageServer : ::testing::Test {
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
  Json state(const std::string& query = "", const std::vector<std::string>& headers = {}) const {
    const Reply reply = get(server->port(), "/slora/state" + query, headers);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json();
  }
  Json adapter(const std::string& name) const {
    const Json now = state();
    for (const Json& each : now["adapters"]["list"]) {
      if (each["name"] == name) return each;
    }
    ADD_FAILURE() << name;
    return {};
  }
  static std::vector<std::string> names_in(const Json& state) {
    std::vector<std::string> names;
    for (const Json& each : state["adapters"]["list"]) names.push_back(each["name"]);
    return names;
  }
  // The cells of the map by letter, and those of adapters by their number.
  static std::map<std::string, int> cells_in(const Json& state) {
    std::map<std::string, int> cells;
    const auto runs = state["pool"]["map"]["runs"].get<std::string>();
    const std::regex run("([fspa])(\\d+)(:\\d+)?");
    for (std::sregex_iterator at(runs.begin(), runs.end(), run), end; at != end; ++at) {
      cells[(*at)[1]] += std::stoi((*at)[2]);
      if ((*at)[1] == "a") cells["a" + (*at)[3].str()] += std::stoi((*at)[2]);
    }
    return cells;
  }

  const TemporaryFolder root;
  std::optional<ServerProcess> server;
};

TEST_F(PageServer, GivesBrowsersAPageAndOthersWhatTheyGotBefore) {
  start();
  const Reply page = get(server->port(), "/", kBrowser);
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.headers.at("content-type"), "text/html; charset=utf-8");
  EXPECT_THAT(page.headers.at("content-security-policy"), HasSubstr("default-src 'none'; script-src 'self'"));
  EXPECT_EQ(get(server->port(), "/").json()["server"], "slora");
  EXPECT_EQ(get(server->port(), "/", {"Accept: */*"}).json()["server"], "slora");
  EXPECT_EQ(post(server->port(), "/", {{"inputs", "Hello"}, {"parameters", {{"max_new_tokens", 1}}}}, kBrowser).status, 200) << "TGI's";

  const std::regex file("slora/page/[a-z.]+");
  std::set<std::string> files;
  for (std::sregex_iterator at(page.body.begin(), page.body.end(), file), end; at != end; ++at) files.insert(at->str());
  EXPECT_EQ(files.size(), 3u);
  for (const std::string& each : files) EXPECT_EQ(get(server->port(), "/" + each).status, 200) << each;

  Connection connection(server->port());
  connection.send("GET /" + *files.begin() + " HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: " +
                  get(server->port(), "/" + *files.begin()).headers.at("etag") + "\r\n\r\n");
  EXPECT_THAT(connection.read_until("\r\n\r\n"), HasSubstr("304 Not Modified"));
}

TEST_F(PageServer, HasNoPageWhereTheOperatorWantsNone) {
  start({"--no-page", "--health-port", "0"});
  EXPECT_EQ(get(server->port(), "/", kBrowser).json()["server"], "slora");
  EXPECT_EQ(get(server->port(), "/slora/page/main.js").status, 404);
  EXPECT_EQ(get(server->port(), "/slora/state").status, 200) << "the data is part of the API";
}

TEST_F(PageServer, HasNoPageOnTheHealthPort) {
  start({"--health-port", "0"});
  EXPECT_EQ(get(server->health_port(), "/", kBrowser).json()["server"], "slora");
  EXPECT_EQ(get(server->health_port(), "/slora/state").status, 404);
}

TEST_F(PageServer, ShowsThePageOnlyToThisMachinesNamesWithoutKeys) {
  start({"--allowed-origins", "https://app.example"});
  const auto status_of = [&](const std::string& head) {
    Connection connection(server->port());
    connection.send(head + "\r\n");
    return connection.read_reply().status;
  };
  EXPECT_EQ(status_of("GET /slora/state HTTP/1.1\r\nHost: evil.example\r\n"), 403);
  EXPECT_EQ(status_of("GET /slora/page/main.js HTTP/1.1\r\nHost: evil.example\r\n"), 403);
  EXPECT_EQ(status_of("GET /slora/state HTTP/1.1\r\nHost: app.example\r\n"), 200) << "its origin is allowed by name";
}

TEST_F(PageServer, ShowsWhereAnAdapterIsAndWhatItDid) {
  copy("shout", "shout");
  copy("yoda", "yoda");
  fs::create_directories(root.file("torn"));
  root.write("torn/adapter_config.json", R"({"peft_type": "PREFIX_TUNING"})");
  start();
  EXPECT_EQ(adapter("shout")["requests"], 0);
  EXPECT_EQ(adapter("yoda")["state"], "on_disk");
  EXPECT_EQ(adapter("torn")["state"], "refused");
  EXPECT_THAT(adapter("torn")["reason"].get<std::string>(), HasSubstr("PREFIX_TUNING"));

  for (int i = 0; i < 2; ++i) EXPECT_EQ(post(server->port(), "/v1/chat/completions", chat_body("yoda", "Hello")).status, 200);
  const Json yoda = adapter("yoda");
  Json used = state();
  for (int i = 0; i < 100 && cells_in(used)["a"] == 0; ++i) {  // the map may be a quarter of a second old
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    used = state();
  }
  EXPECT_EQ(yoda["state"], "resident");
  EXPECT_EQ(yoda["requests"], 2);
  EXPECT_EQ(yoda["hits"], 1) << "the first had to load it";
  EXPECT_GT(yoda["last_use"], 1700000000);
  EXPECT_GT(yoda["rank"], 0);
  EXPECT_EQ(yoda["bytes"], yoda["pages"].get<int>() * used["pool"]["page_bytes"].get<int>());
  std::map<std::string, int> cells = cells_in(used);
  EXPECT_EQ(used["pool"]["map"]["pages_per_cell"], 1);
  EXPECT_EQ(cells["a:" + yoda["number"].dump()], yoda["pages"]);
  EXPECT_EQ(cells["a"], used["pool"]["pages"]["adapter"]);
  EXPECT_EQ(cells["f"] + cells["s"] + cells["p"] + cells["a"], 1024) << "64 MiB of 64 KiB";
  EXPECT_EQ(used["adapters"]["resident"], 1);
  EXPECT_EQ(used["requests"]["served"], 2);

  EXPECT_EQ(post(server->port(), "/v1/pin_lora_adapter", {{"lora_name", "shout"}}).status, 200);
  EXPECT_EQ(adapter("shout")["is_pinned"], true);
  EXPECT_EQ(post(server->port(), "/v1/unload_lora_adapter", {{"lora_name", "yoda"}}).status, 200);
  EXPECT_THAT(names_in(state()), ElementsAre("shout", "torn"));
}

TEST_F(PageServer, CountsLatenciesInRangesAndTokens) {
  start();
  EXPECT_EQ(post(server->port(), "/v1/completions", {{"prompt", "Hello"}, {"max_tokens", 5}, {"ignore_eos", true}}).status, 200);
  const Json after = state();
  const auto sum = [&](const char* name) {
    int total = 0;
    for (const Json& count : after[name]["counts"]) total += count.get<int>();
    EXPECT_EQ(after[name]["counts"].size(), after[name]["upper_bounds"].size() + 1);
    return total;
  };
  EXPECT_EQ(sum("time_to_first_token_seconds"), 1);
  EXPECT_EQ(sum("inter_token_seconds"), 4);
  EXPECT_EQ(sum("queue_seconds"), 1);
  EXPECT_EQ(after["tokens"]["output"], 5);
  EXPECT_EQ(after["model"]["name"], "demo");
  EXPECT_EQ(after["model"]["serves_chats"], true);
}

TEST_F(PageServer, SaysWhetherTheStateHasChanged) {
  start();
  const Reply first = get(server->port(), "/slora/state");
  const std::string tag = first.headers.at("etag");
  const auto asked_again = [&] {
    Connection connection(server->port());
    connection.send("GET /slora/state HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: " + tag + "\r\n\r\n");
    return connection.read_until("\r\n\r\n");
  };
  EXPECT_THAT(asked_again(), HasSubstr("304 Not Modified\r\n")) << "an idle server's state stays as it is";
  EXPECT_EQ(post(server->port(), "/v1/completions", {{"prompt", "Hello"}, {"max_tokens", 1}}).status, 200);
  EXPECT_THAT(asked_again(), HasSubstr("200 OK\r\n"));
}

TEST_F(PageServer, ListsAdaptersInPagesAndByAPartOfTheirName) {
  constexpr int count = 505;
  for (int i = 0; i < count; ++i) {
    fs::create_directories(root.file(fmt::format("many-{:03}", i)));
    root.write(fmt::format("many-{:03}/adapter_config.json", i), R"({"peft_type": "PREFIX_TUNING"})");
  }
  start();
  const Json first = state();
  EXPECT_EQ(first["adapters"]["list"].size(), 500u);
  EXPECT_EQ(first["adapters"]["next"], "many-499");
  EXPECT_EQ(first["adapters"]["registered"], count);
  const Json second = state("?after=many-499");
  EXPECT_EQ(names_in(second).size(), 5u);
  EXPECT_EQ(names_in(second).front(), "many-500");
  EXPECT_EQ(second["adapters"]["next"], nullptr);
  EXPECT_THAT(names_in(state("?filter=-00&after=many-007")), ElementsAre("many-008", "many-009"));
  EXPECT_EQ(names_in(state("?filter=nobody")).size(), 0u);
  const Reply wrong = get(server->port(), "/slora/state?after=%zz");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(wrong.json()["error"]["param"], "after");
}

TEST_F(PageServer, ShowsAKeyTheAdaptersThatItMayName) {
  copy("shout", "shout");
  copy("yoda", "yoda");
  const TemporaryFolder other;
  // SHA-256 of "other".
  const std::string file = other.write(
      "keys.json",
      R"({"keys":[{"tenant":"other","models":["demo","yoda"],"key_sha256":"d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"}]})");
  start({"--api-key", "user", "--api-key-file", file});
  EXPECT_EQ(get(server->port(), "/slora/state").status, 401);
  EXPECT_EQ(get(server->port(), "/", kBrowser).status, 200) << "the page itself shows nothing";
  EXPECT_THAT(names_in(state("", {"Authorization: Bearer user"})), ElementsAre("shout", "yoda"));
  EXPECT_THAT(names_in(state("", {"Authorization: Bearer other"})), ElementsAre("yoda"));
}

}  // namespace
}  // namespace slora
