#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "adapters/adapter_folder.h"
#include "api/local_api.h"
#include "cli/commands.h"
#include "cli/generate_lines.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"
#include "formats/json.h"
#include "text/utf8.h"

namespace slora {
namespace {

constexpr std::size_t kRunningMax = 256;                   // requests handed to the engine at once
constexpr std::size_t kWaitingMax = kRunningMax * 32 * 8;  // what those may ask for: prompts times choices

// Prints an answer's text as it comes.
class PrintingSink final : public AnswerSink {
 public:
  void part(const AnswerPart& part) override {
    fmt::print("{}", part.text());
    std::fflush(stdout);
  }
  void done(const Answer&) override {
    fmt::print("\n");
    exit_code_ = 0;
  }
  void failed(const ApiError& error) override { exit_code_ = report({error.code, error.message, error.param}); }

  [[nodiscard]] int exit_code() const { return exit_code_; }

 private:
  int exit_code_ = 1;
};

// The output line of one request, once it has its answer.
class LineSink final : public AnswerSink {
 public:
  explicit LineSink(std::size_t index) : index_(index) {}

  void part(const AnswerPart&) override {}
  void done(const Answer& answer) override { line_ = output_line(index_, answer); }
  void failed(const ApiError& error) override {
    line_ = output_line(index_, error);
    failure_ = error.kind;
  }

  [[nodiscard]] const std::optional<std::string>& line() const { return line_; }
  [[nodiscard]] const std::optional<ErrorKind>& failure() const { return failure_; }

 private:
  const std::size_t index_;
  std::optional<std::string> line_;
  std::optional<ErrorKind> failure_;
};

// Runs requests in one batch, as many at once as the engine takes, and prints their answers in input order.
class Batch {
 public:
  explicit Batch(LocalApi& api) : api_(api) {}

  // The exit code: 1 when a request was refused or failed.
  int run(std::span<const GenerateLine> lines) {
    ProgressBar bar;
    bool all_answered = true;
    std::size_t next = 0;
    for (std::size_t printed = 0; printed < lines.size();) {
      while (next < lines.size() && running_.size() < kRunningMax && try_start(next, lines[next])) ++next;
      const auto first = running_.find(printed);
      const LineSink& answer = *first->second;
      if (!answer.line()) {
        api_.wait();
        continue;
      }
      all_answered &= !answer.failure();
      fmt::print("{}\n", *answer.line());
      std::fflush(stdout);
      running_.erase(first);
      bar.show("Generating", ++printed, lines.size());
    }
    return all_answered ? 0 : 1;
  }

 private:
  // False when the engine is full of lines whose end will free capacity.
  bool try_start(std::size_t index, const GenerateLine& line) {
    const auto sink = std::make_shared<LineSink>(index);  // shared with its job
    if (line.error) {
      sink->failed(to_api_error(*line.error));
    } else {
      api_.start(line.endpoint, line.request, sink);
    }
    const auto runs = [](const auto& entry) { return !entry.second->line(); };
    if (sink->failure() == ErrorKind::rate_limit && std::ranges::any_of(running_, runs)) return false;
    running_.emplace(index, sink);
    return true;
  }

  LocalApi& api_;
  std::map<std::size_t, std::shared_ptr<LineSink>> running_;  // by index; finished ones stay until those before them are printed
};

constexpr std::size_t kPieceBytes = std::size_t{1} << 16;
constexpr std::size_t kInputBytesMax = std::size_t{1} << 30;

// Standard input for "-".
Result<std::string> read_input(std::string_view option, const std::string& path) {
  std::ifstream file;
  if (path != "-") file.open(path, std::ios::binary);
  std::istream& in = path == "-" ? std::cin : file;
  std::string text, piece(kPieceBytes, '\0');
  // A stream's iterators throw where its read() only fails: at a folder, for one.
  while (in.read(piece.data(), kPieceBytes) || in.gcount() > 0) {
    text.append(piece, 0, static_cast<std::size_t>(in.gcount()));
    if (text.size() > kInputBytesMax) return error("no_input", "{}: {}: expected at most {} bytes", option, path, kInputBytesMax);
  }
  if (!in.eof() || in.bad()) return error("no_input", "{}: can't read {}", option, path);
  return text;
}

Result<std::vector<GenerateLine>> read_lines(const GenerateArguments& arguments, LineDefaults defaults) {
  defaults.stream = arguments.input.empty();
  if (!arguments.conversation.empty()) {
    const Result<std::string> text = read_input("--conversation", arguments.conversation);
    if (!text) return tl::unexpected(text.error());
    const GenerateLine line = parse_conversation(*text, defaults);
    if (line.error) return error("bad_input", "--conversation: {}: {}", arguments.conversation, line.error->message);
    return std::vector<GenerateLine>{line};
  }
  if (arguments.input.empty()) return std::vector<GenerateLine>{make_line(arguments.prompt, arguments.message, defaults)};
  const Result<std::string> text = read_input("--input", arguments.input);
  if (!text) return tl::unexpected(text.error());
  std::vector<GenerateLine> lines;
  std::istringstream in(*text);
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    lines.push_back(parse_line(line, defaults));
    if (std::optional<Error>& failure = lines.back().error) failure->message = fmt::format("line {}: {}", number, failure->message);
  }
  return lines;
}

// An adapter given as a folder is registered under the folder's name.
std::string register_adapter(const GenerateArguments& arguments, RuntimeOptions& options) {
  const std::filesystem::path path(arguments.adapter);
  const Result<Folder> folder = Folder::open(FolderPath(arguments.adapter));
  if (!folder || !is_adapter_folder(*folder)) return arguments.adapter;
  const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
  options.named_adapters.emplace_back(name, path);
  return name;
}

// `name`: empty for the base.
Status check_adapter(const std::string& name, Api& api) {
  const std::vector<std::string>& base_names = api.model_names();
  if (name.empty() || api.runtime().adapters().find(name) || std::ranges::find(base_names, name) != base_names.end()) return {};
  return error("bad_option", "--adapter: {} is neither a folder with an adapter nor the name of one of --adapters or --lora-modules",
               quote(name));
}

}  // namespace

int run_generate(const GenerateArguments& arguments) {
  const std::array inputs = {&arguments.prompt, &arguments.message, &arguments.conversation, &arguments.input};
  if (std::ranges::count_if(inputs, [](const std::string* input) { return !input->empty(); }) != 1) {
    return report({"bad_option", "give exactly one of --prompt, --message, --conversation and --input, and not an empty one", {}});
  }
  for (const auto& [option, value] :
       {std::pair{"--prompt", &arguments.prompt}, {"--message", &arguments.message}, {"--adapter", &arguments.adapter}}) {
    if (!is_valid_utf8(*value)) return report({"bad_option", fmt::format("{}: expected UTF-8", option), {}});
  }
  Result<RuntimeOptions> options = make_runtime_options(arguments.model);
  if (!options) return report(options.error());

  options->waiting_max = kWaitingMax;
  LineDefaults defaults{{}, arguments.max_tokens, arguments.temperature, arguments.seed};
  if (!arguments.adapter.empty()) defaults.adapter = register_adapter(arguments, *options);
  const Result<std::vector<GenerateLine>> lines = read_lines(arguments, defaults);
  if (!lines) return report(lines.error());
  ApiOptions api_options{.runtime = std::move(*options),
                         .model_names = model_names_of(arguments.model),
                         .chat_template_file = {},
                         .answer_forms = {"none", "none"}};  // what the model writes is shown as it is
  if (!arguments.model.chat_template.empty()) api_options.chat_template_file = arguments.model.chat_template;
  auto bar = std::make_unique<ProgressBar>();
  api_options.runtime.progress = [&bar](std::string_view what, std::uint64_t done, std::uint64_t total) { bar->show(what, done, total); };
  Result<std::unique_ptr<LocalApi>> api = LocalApi::create(std::move(api_options));
  bar.reset();
  if (!api) return report(api.error());
  if (Status known = check_adapter(defaults.adapter, (*api)->api()); !known) return report(known.error());

  if (!arguments.input.empty()) return Batch(**api).run(*lines);
  PrintingSink sink;
  (*api)->answer(lines->front().endpoint, lines->front().request, sink);
  return sink.exit_code();
}

}  // namespace slora
