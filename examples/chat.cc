// One answer of a model and its adapters in a C++ program, without a server:
//   chat demo/model demo/adapters pirate 'The queen found a rusty key.'
// Links slora_api. What a request may say is what the HTTP API takes (docs, GET /openapi.json): here it is JSON, the answer is typed.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "api/local_api.h"

// Prints an answer as it comes; an adapter that is refused or a queue that is full arrives here too.
class Printer final : public slora::AnswerSink {
 public:
  void part(const slora::AnswerPart& part) override {
    fmt::print("{}", part.text());
    std::fflush(stdout);
  }
  void done(const slora::Answer&) override { fmt::print("\n"); }
  void failed(const slora::ApiError& error) override {
    fmt::print(stderr, "{}: {}\n", error.code, error.message);
    exit_code = 1;
  }

  int exit_code = 0;
};

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: chat MODEL_FOLDER ADAPTERS_FOLDER MODEL_OR_ADAPTER MESSAGE\n");
    return 2;
  }
  slora::ApiOptions options;
  options.runtime.model_folder = argv[1];
  options.runtime.adapter_folders = {argv[2]};
  const slora::Result<std::unique_ptr<slora::LocalApi>> api = slora::LocalApi::create(std::move(options));
  if (!api) {
    fmt::print(stderr, "{}\n", api.error().message);
    return 1;
  }

  const slora::Json message = {{"role", "user"}, {"content", argv[4]}};
  const slora::Json request = {{"model", argv[3]}, {"messages", slora::Json::array({message})}, {"temperature", 0}, {"max_tokens", 64}};
  Printer printer;
  (*api)->answer(slora::Endpoint::chat, request, printer);
  return printer.exit_code;
}
