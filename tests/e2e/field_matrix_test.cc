#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "e2e/demo_server.h"

namespace slora {
namespace {

using ::testing::AnyOf;

// A route, and its body around one field, which is set to a value that may be no JSON at all.
struct FormOfField {
  std::string path, before, field, after;

  [[nodiscard]] std::string body(std::string_view value) const { return before + "\"" + field + "\":" + std::string(value) + after; }
};

// A short output, unless the field is its length.
std::string short_output(std::string_view field, std::string_view length) {
  return field == length || field == "max_completion_tokens" ? "" : "\"" + std::string(length) + "\":2,";
}

FormOfField in_completions(std::string field) {
  const std::string before = R"({"prompt":[5,6],)" + short_output(field, "max_tokens");
  return {"/v1/completions", before, std::move(field), "}"};
}
FormOfField in_chats(std::string field) {
  const std::string before = R"({"messages":[{"role":"user","content":"Hi"}],)" + short_output(field, "max_tokens");
  return {"/v1/chat/completions", before, std::move(field), "}"};
}
FormOfField in_sglang(std::string field) {
  const std::string before = R"({"text":"Hi","sampling_params":{)" + short_output(field, "max_new_tokens");
  return {"/generate", before, std::move(field), "}}"};
}
FormOfField in_slora_at(std::string path, std::string field) {
  const std::string before = R"({"inputs":"Hi","parameters":{)" + short_output(field, "max_new_tokens");
  return {std::move(path), before, std::move(field), "}}"};
}
FormOfField in_slora(std::string field) { return in_slora_at("/generate_stream", std::move(field)); }
FormOfField in_slora_generate(std::string field) { return in_slora_at("/generate", std::move(field)); }
FormOfField in_sglang_body(std::string field) {
  return {"/generate", R"({"text":"Hi","sampling_params":{"max_new_tokens":2},)", std::move(field), "}"};
}

// One meaning, and all the places where requests give it.
struct Meaning {
  std::string name;
  std::vector<FormOfField> forms;
  std::vector<std::string> values;  // beside those that every field is tried with: at its bounds and beyond
};

std::vector<FormOfField> everywhere(const std::string& field) {
  return {in_completions(field), in_chats(field), in_sglang(field), in_slora(field), in_slora_generate(field)};
}
std::vector<FormOfField> without_slora(const std::string& field) { return {in_completions(field), in_chats(field), in_sglang(field)}; }

const std::vector<Meaning>& meanings() {
  static const std::vector<Meaning> kMeanings = {
      {"temperature", everywhere("temperature"), {"-0.01", "100", "100.01"}},
      {"top_p", everywhere("top_p"), {"1e-7", "1e-5", "1.01"}},
      {"top_k", everywhere("top_k"), {"-2"}},
      {"presence_penalty", everywhere("presence_penalty"), {"-2", "-2.01", "2", "2.01"}},
      {"frequency_penalty", everywhere("frequency_penalty"), {"-2", "-2.01", "2", "2.01"}},
      {"ignore_eos", everywhere("ignore_eos"), {}},
      {"min_p", without_slora("min_p"), {"-0.01", "1.01"}},
      {"repetition_penalty", without_slora("repetition_penalty"), {"1e-7", "100", "100.01"}},
      {"n", without_slora("n"), {"8", "9"}},
      {"logit_bias",
       without_slora("logit_bias"),
       {R"({"1":100})", R"({"1":101})", R"({"-1":1})", R"({"1722":1})", R"({"2147483648":1})", R"({"x":1})", R"({"1":null})"}},
      {"stop", without_slora("stop"), {R"([""])", R"([1])", "\"" + std::string(256, 'x') + "\"", "\"" + std::string(257, 'x') + "\""}},
      {"stop_token_ids", without_slora("stop_token_ids"), {"[1721]", "[1722]", "[-1]", "[1.5]"}},
      {"skip_special_tokens", without_slora("skip_special_tokens"), {}},
      {"seed", {in_completions("seed"), in_chats("seed"), in_sglang("sampling_seed")}, {}},
      {"output length",
       {in_completions("max_tokens"), in_chats("max_tokens"), in_chats("max_completion_tokens"), in_sglang("max_new_tokens"),
        in_slora("max_new_tokens")},
       {"400", "600"}},
      {"least output length", {in_completions("min_tokens"), in_chats("min_tokens"), in_sglang("min_new_tokens")}, {"2", "3"}},
      {"top log-probabilities", {in_completions("logprobs"), in_sglang_body("top_logprobs_num")}, {"20", "21"}},
      {"prompt log-probabilities", {in_completions("prompt_logprobs"), in_chats("prompt_logprobs")}, {"20", "21"}},
      {"stream", {in_completions("stream"), in_chats("stream"), in_sglang_body("stream")}, {}},
      {"priority", {in_completions("priority"), in_chats("priority"), in_sglang_body("priority")}, {}},
      {"truncation", {in_completions("truncate_prompt_tokens"), in_chats("truncate_prompt_tokens")}, {"-2"}},
      {"adapter", {in_completions("lora_path"), in_chats("lora_path"), in_sglang_body("lora_path")}, {R"("nobody")", R"("../x")"}},
  };
  return kMeanings;
}

// Beside the values of every type: the bounds of 32 and 64 bits and one beyond, what is no number, and what is no JSON.
constexpr std::array kEveryValue = {"null",
                                    "true",
                                    "-1",
                                    "0",
                                    "1",
                                    "0.5",
                                    "-0.0",
                                    "1e-400",
                                    "1e400",
                                    "-1e400",
                                    "NaN",
                                    "Infinity",
                                    "2147483647",
                                    "2147483648",
                                    "-2147483648",
                                    "-2147483649",
                                    "4294967296",
                                    "9223372036854775807",
                                    "9223372036854775808",
                                    "-9223372036854775808",
                                    "-9223372036854775809",
                                    "18446744073709551616",
                                    "\"\"",
                                    "\"x\"",
                                    "\"1\"",
                                    "[]",
                                    "[1]",
                                    "[[]]",
                                    "{}",
                                    "{\"x\":1}",
                                    ""};

// Values for which the routes differ, as documented: completions may score a prompt without output, and SGLang names an adapter for each
// prompt in a list.
bool may_differ(const Meaning& meaning, std::string_view value) {
  if (meaning.name == "output length") return value == "0" || value == "-0.0" || value == "1e-400";
  return meaning.name == "adapter" && value == "[]";
}

// Greedy requests that run meanwhile, each compared with a quiet one.
class Canary {
 public:
  explicit Canary(std::uint16_t port) : port_(port), expected_(ask()), thread_([this] { run(); }) {}
  ~Canary() {
    ends_ = true;
    thread_.join();
    EXPECT_GT(count_, 0);
  }
  Canary(const Canary&) = delete;
  Canary& operator=(const Canary&) = delete;

 private:
  [[nodiscard]] std::string ask() const {
    return chat_text(post(port_, "/v1/chat/completions", chat_body("spanish", "The queen found a key.")));
  }
  void run() {
    while (!ends_) {
      EXPECT_EQ(ask(), expected_);
      ++count_;
    }
  }

  const std::uint16_t port_;
  const std::string expected_;
  std::atomic<bool> ends_ = false;
  std::atomic<int> count_ = 0;
  std::thread thread_;
};

Reply post_raw(std::uint16_t port, std::string_view path, std::string_view body) {
  Connection connection(port);
  connection.send_request("POST", path, body, {"Content-Type: application/json"});
  return connection.read_reply();
}

TEST(FieldMatrix, GivesOneVerdictOnEveryRouteAndDisturbsNobody) {
  const std::uint16_t port = demo_server().port();
  const Canary canary(port);
  std::size_t count = 0;
  for (const Meaning& meaning : meanings()) {
    std::vector<std::string> values(kEveryValue.begin(), kEveryValue.end());
    values.insert(values.end(), meaning.values.begin(), meaning.values.end());
    for (const std::string& value : values) {
      std::optional<int> verdict;
      for (const FormOfField& form : meaning.forms) {
        const std::string where = form.path + " " + form.field + ": " + value;
        const Reply reply = post_raw(port, form.path, form.body(value));
        ++count;
        ASSERT_THAT(reply.status, AnyOf(200, 400, 404)) << where << " " << reply.body;
        if (!verdict) verdict = reply.status;
        if (!may_differ(meaning, value)) EXPECT_EQ(reply.status, *verdict) << where << " " << reply.body;
        const bool is_json = !Json::parse(form.body(value), nullptr, false).is_discarded();
        if (reply.status == 200 || !is_json) continue;
        const Json error = reply.json()["error"];
        ASSERT_TRUE(error["param"].is_string()) << where << " " << reply.body;
        EXPECT_THAT(error["param"].get<std::string>(), ::testing::HasSubstr(form.field)) << where << " " << reply.body;
      }
    }
  }
  EXPECT_GT(count, 2500U);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(get(port, "/health").status, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(1));
}

// The id is the client's label: many requests may have the same.
TEST(RequestId, IsALabelThatRequestsMayShare) {
  const std::uint16_t port = demo_server().port();
  const std::vector<std::string> models = {"demo", "spanish", "question", "shout"};
  std::vector<std::string> expected;
  for (const std::string& model : models) {
    expected.push_back(chat_text(post(port, "/v1/chat/completions", chat_body(model, "The queen found a rusty key."))));
  }
  std::vector<std::thread> clients;
  for (std::size_t i = 0; i < 100; ++i) {
    clients.emplace_back([&, i] {
      const Reply reply = post(port, "/v1/chat/completions", chat_body(models[i % models.size()], "The queen found a rusty key."),
                               {"X-Request-Id: the-same"});
      EXPECT_EQ(chat_text(reply), expected[i % models.size()]);
      EXPECT_EQ(reply.headers.at("x-request-id"), "the-same");
    });
  }
  for (std::thread& client : clients) client.join();
}

// What the answers to wrong requests must not tell: where the server's files lie, and what it is made of.
TEST(Errors, NameNoPathsAndNoInnerThings) {
  const std::uint16_t port = demo_server().port();
  std::vector<std::pair<std::string, std::string>> requests;
  for (const Meaning& meaning : meanings()) {
    for (const FormOfField& form : meaning.forms) {
      for (const char* value : {"{\"x\":[1,{}]}", "1e400", "\"/etc/passwd\"", "[[[[]]]]", "18446744073709551616", "}"}) {
        requests.emplace_back(form.path, form.body(value));
      }
    }
  }
  for (const char* path : {"/v1/completions", "/v1/chat/completions", "/generate", "/generate_stream", "/tokenize", "/detokenize",
                           "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/load_lora_adapter", "/nothing"}) {
    for (const char* body : {"", "{", "[]", "null", R"({"model":"broken","prompt":"a"})", R"({"model":"nobody","messages":[]})",
                             R"({"lora_name":"x","lora_path":"/etc"})", R"({"lora_name":"x","lora_path":"../../etc"})"}) {
      requests.emplace_back(path, body);
    }
  }
  std::size_t errors = 0;
  for (const auto& [path, body] : requests) {
    const Reply reply = post_raw(port, path, body);
    if (reply.status < 400) continue;
    ++errors;
    const std::string error = reply.json()["error"].dump();  // SGLang's answers about adapters list their folders too, for operators
    EXPECT_LT(reply.status, 500) << path << " " << body << " " << reply.body;
    for (const char* inner : {"/home/", "/usr/", "/tmp/", "/build/", "/demo/", ".cc", ".h:", "0x", "std::", "nlohmann",
                              "json.exception", "boost", "slora::", "bad_alloc", "terminate"}) {
      EXPECT_EQ(error.find(inner), std::string::npos) << path << " " << body << " " << error;
    }
  }
  EXPECT_GT(errors, 300U);
}

}  // namespace
}  // namespace slora
