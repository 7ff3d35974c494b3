// Fails allocations of a request's life, alone and in bursts: each time there is an answer or an error with a code, and the next request
// works.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "api/local_api.h"
#include "base/memory_reserve.h"
#include "base/testing/allocation_failure.h"
#include "base/testing/source_path.h"
#include "e2e/http_client.h"
#include "http/api_server.h"

namespace slora {
namespace {

// Allocations that fail one after the other, and how far apart the places are that are tried: all of them would take minutes.
struct Failures {
  std::size_t burst, stride;
};
constexpr std::array kFailures = {Failures{1, 7}, Failures{40, 97}};

RuntimeOptions demo_options() {
  RuntimeOptions options;
  options.model_folder = source_path("demo/model");
  options.adapter_folders = {source_path("demo/adapters")};
  options.pool_bytes = std::uint64_t{16} << 20;
  options.threads = 1;
  return options;
}

Json chat(const std::string& model) {
  const Json messages = Json::array({{{"role", "user"}, {"content", "Rosa painted a hat."}}});
  return {{"model", model}, {"messages", messages}, {"temperature", 0}, {"max_tokens", 8}};
}

class KeepingSink final : public AnswerSink {
 public:
  void part(const AnswerPart& part) override { text += part.text(); }
  void done(const Answer&) override { is_done = true; }
  void failed(const ApiError& given) override { code = given.code; }

  std::string text, code;
  bool is_done = false;
};

// Answers once, on a fresh or a warm engine; every allocation but the test's own may fail.
std::string local_outcome(LocalApi& api, const Json& request) {
  KeepingSink sink;
  try {
    api.answer(Endpoint::chat, request, sink);
  } catch (const std::bad_alloc&) {
    return "bad_alloc";
  }
  if (sink.is_done) return "done";
  return sink.code;
}

TEST(OutOfMemory, ALocalRequestFailsAloneWhateverAllocationFails) {
  Result<std::unique_ptr<LocalApi>> api = LocalApi::create({.runtime = demo_options(), .model_names = {"demo"}, .chat_template_file = {}});
  ASSERT_TRUE(api) << api.error().message;
  KeepingSink expected;
  (*api)->answer(Endpoint::chat, chat("shout"), expected);
  ASSERT_TRUE(expected.is_done);
  const auto clear = [&] {
    std::promise<void> cleared;
    (*api)->api().runtime().engine().clear_caches([&](bool) { cleared.set_value(); });
    cleared.get_future().wait();
  };
  clear();
  MemoryReserve reserve;
  const Json request = chat("shout");
  count_allocations();
  EXPECT_EQ(local_outcome(**api, request), "done");
  const std::size_t allocation_count = end_failures();
  std::map<std::string, int> outcomes;
  for (const auto& [burst, stride] : kFailures) {
    for (std::size_t first = 1; first <= allocation_count; first += stride) {
      clear();  // so that the adapter is loaded again
      ASSERT_TRUE(reserve.try_refill());
      fail_allocations(first, burst);
      const std::string outcome = local_outcome(**api, request);
      end_failures();
      ++outcomes[outcome];
      KeepingSink next;
      (*api)->answer(Endpoint::chat, chat("shout"), next);
      ASSERT_TRUE(next.is_done) << "after allocation " << first << ", " << outcome << ", " << next.code;
      ASSERT_EQ(next.text, expected.text) << "after allocation " << first;
    }
  }
  for (const auto& [outcome, count] : outcomes) fmt::print("{} of {} allocations: {}\n", count, allocation_count, outcome);
  for (const auto& [outcome, count] : outcomes) EXPECT_THAT(outcome, ::testing::AnyOf("done", "out_of_memory", "bad_alloc"));
}

// The server in this process; the test's own thread is exempt.
class ServerThread {
 public:
  ServerThread() {
    std::promise<std::uint16_t> ready;
    thread_ = std::thread([&] {
      ApiServerOptions options;
      options.http.port = 0;
      options.model_names = {{"demo"}, 1};
      options.drain_time = std::chrono::seconds(1);
      options.on_ready = [&](const Ready& given, Runtime&) {
        ready.set_value(static_cast<std::uint16_t>(std::stoi(given.url.substr(given.url.rfind(':') + 1))));
      };
      const Result<int> code = run_api_server(options, demo_options());
      EXPECT_TRUE(code) << code.error().message;
    });
    port = ready.get_future().get();
  }
  ~ServerThread() {
    kill(getpid(), SIGTERM);
    thread_.join();
  }

  std::uint16_t port = 0;

 private:
  std::thread thread_;
};

struct Call {
  const char* method;
  const char* path;
  Json body;
};

std::vector<Call> life_of_an_adapter() {
  Json stream = chat("mine");
  stream["stream"] = true;
  Json scored = {{"model", "mine"}, {"prompt", "Rosa painted a hat."}, {"max_tokens", 4}, {"logprobs", 2}, {"echo", true}, {"n", 2}};
  return {{"POST", "/v1/load_lora_adapter", {{"lora_name", "mine"}, {"lora_path", "shout"}}},
          {"POST", "/v1/chat/completions", chat("mine")},
          {"POST", "/v1/chat/completions", stream},
          {"POST", "/v1/completions", scored},
          {"POST", "/tokenize", {{"prompt", "Rosa painted a hat."}}},
          {"GET", "/v1/models", {}},
          {"GET", "/metrics", {}},
          {"POST", "/flush_cache", {}},
          {"POST", "/v1/unload_lora_adapter", {{"lora_name", "mine"}}}};
}

Reply reply_to(std::uint16_t port, const Call& call) {
  return std::string_view(call.method) == "GET" || call.body.empty()
             ? [&] {
                 Connection connection(port);
                 connection.send_request(call.method, call.path, call.body.empty() ? "" : call.body.dump());
                 return connection.read_reply();
               }()
             : post(port, call.path, call.body);
}

// "200", "503 out_of_memory", "200, then out_of_memory" for a stream that ended with that error, "200 broken" for one that was cut off,
// "closed" for no answer.
std::string outcome_of(const Reply& reply) {
  if (reply.status == 0) return "closed";
  if (reply.status == 200 && reply.body.find("\"code\":\"out_of_memory\"") != std::string::npos) return "200, then out_of_memory";
  if (reply.status == 200) return reply.is_whole ? "200" : "200 broken";
  const Json body = reply.json();
  const bool has_code = body.is_object() && body.contains("error") && body["error"].contains("code");
  return fmt::format("{} {}", reply.status, has_code ? body["error"]["code"].get<std::string>() : std::string("without a code"));
}

TEST(OutOfMemory, TheServerAnswersWhateverAllocationFails) {
  const ExemptFromFailures exempt;
  const ServerThread server;
  std::map<std::string, int> outcomes;
  const Reply expected = post(server.port, "/v1/chat/completions", chat("shout"));
  ASSERT_EQ(expected.status, 200);
  const std::string text = expected.json()["choices"][0]["message"]["content"];
  for (const Call& call : life_of_an_adapter()) {
    const auto prepare = [&] {
      if (std::string_view(call.path) == "/v1/load_lora_adapter") {
        post(server.port, "/v1/unload_lora_adapter", {{"lora_name", "mine"}});
      } else {
        post(server.port, "/v1/load_lora_adapter", {{"lora_name", "mine"}, {"lora_path", "shout"}});
      }
    };
    prepare();
    count_allocations();
    ASSERT_EQ(outcome_of(reply_to(server.port, call)), "200") << call.path;
    usleep(1000);
    const std::size_t allocation_count = end_failures();
    std::map<std::string, int> of_call;
    for (const auto& [burst, stride] : kFailures) {
      for (std::size_t first = 1; first <= allocation_count; first += stride) {
        prepare();
        fail_allocations(first, burst);
        const Reply reply = reply_to(server.port, call);
        end_failures();
        ++of_call[outcome_of(reply)];
        const Reply next = post(server.port, "/v1/chat/completions", chat("shout"));
        ASSERT_EQ(next.status, 200) << call.path << ", after allocation " << first << " of " << allocation_count << ": " << next.body;
        ASSERT_EQ(next.json()["choices"][0]["message"]["content"], text);
        if (burst > 1) usleep(150'000);  // the server takes its reserve again
      }
    }
    for (const auto& [outcome, count] : of_call) {
      fmt::print("{} {}, {} allocations: {} times {}\n", call.method, call.path, allocation_count, count, outcome);
      outcomes[outcome] += count;
    }
  }
  for (const auto& [outcome, count] : outcomes) {
    EXPECT_THAT(outcome, ::testing::AnyOf("200", "200, then out_of_memory", "503 out_of_memory", "closed")) << count << " times";
  }
  EXPECT_EQ(get(server.port, "/load").json()["server_load"], 0) << "nothing is left";
  sleep(2);
  EXPECT_EQ(metric(server.port, "slora_request_memory_bytes"), 0.0);
}

}  // namespace
}  // namespace slora
