#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "base/queue.h"
#include "cli/commands.h"
#include "cli/generate_lines.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"
#include "formats/json.h"
#include "server/engine_generator.h"
#include "server/generation_job.h"
#include "server/job_table.h"
#include "text/utf8.h"

namespace slora {
namespace {

constexpr std::size_t kRunningMax = 256;                     // requests handed to the engine at once
constexpr std::size_t kSequencesMax = kRunningMax * 32 * 8;  // what those may ask for: prompts times choices

// Where a job's answer goes when there is no client. The main thread is the I/O thread here.
class LocalExchange : public Exchange {
 public:
  const HttpRequest& request() const override { return request_; }
  std::string take_body() override { return {}; }
  void respond(HttpResponse response) override { answer_ = std::move(response); }
  void begin_stream(std::string_view) override {}
  void send(std::string_view) override {}
  void end_stream() override {}
  void break_stream() override {}
  void on_gone(std::function<void()>) override {}

  [[nodiscard]] const std::optional<HttpResponse>& answer() const { return answer_; }

 private:
  const HttpRequest request_;
  std::optional<HttpResponse> answer_;
};

// Prints a stream's text as it comes.
class PrintingExchange final : public LocalExchange {
 public:
  void respond(HttpResponse response) override { exit_code_ = report(error_of(response.body)); }
  void send(std::string_view events) override {
    const Result<std::string> text = events_text(events);
    if (!text) exit_code_ = report(text.error());
    fmt::print("{}", text.value_or(""));
    std::fflush(stdout);
  }
  void end_stream() override {
    fmt::print("\n");
    exit_code_ = 0;
  }

  [[nodiscard]] const std::optional<int>& exit_code() const { return exit_code_; }

 private:
  std::optional<int> exit_code_;
};

using Events = BoundedQueue<std::vector<TokenEvent>>;

// Runs requests in one batch, as many at once as the engine takes, and prints their answers in input order.
class Batch {
 public:
  Batch(const RequestPreparer& preparer, const JobServices& services, Events& events)
      : preparer_(preparer), services_(services), events_(events) {}

  // The exit code: 1 when a request was refused or failed.
  int run(std::span<const GenerateLine> lines) {
    ProgressBar bar;
    bool all_answered = true;
    std::size_t next = 0;
    for (std::size_t told = 0; told < lines.size();) {
      while (next < lines.size() && running_.size() < kRunningMax && try_start(next, lines[next])) ++next;
      const auto first = running_.find(told);
      if (const std::optional<HttpResponse>& answer = first->second->answer()) {
        all_answered &= answer->status == 200;
        fmt::print("{}\n", output_line(told, answer->body));
        std::fflush(stdout);
        running_.erase(first);
        bar.show("Generating", ++told, lines.size());
      } else {
        services_.jobs.deliver(events_.pop().value_or(std::vector<TokenEvent>()));
      }
    }
    return all_answered ? 0 : 1;
  }

 private:
  // False when the engine is full of lines that will make room.
  bool try_start(std::size_t index, const GenerateLine& line) {
    const auto exchange = std::make_shared<LocalExchange>();  // shared with its job
    const auto job = std::make_shared<GenerationJob>(exchange, services_, random_());
    if (line.error) {
      job->fail(*line.error);
    } else {
      job->start(preparer_.prepare(line.endpoint, line.body));
    }
    const bool is_full = exchange->answer() && exchange->answer()->status == 429;
    const auto runs = [](const auto& entry) { return !entry.second->answer(); };
    if (is_full && std::any_of(running_.begin(), running_.end(), runs)) return false;
    running_.emplace(index, exchange);
    return true;
  }

  const RequestPreparer& preparer_;
  const JobServices services_;
  Events& events_;
  std::map<std::size_t, std::shared_ptr<LocalExchange>> running_;  // by index; answers wait here for their turn
  std::mt19937_64 random_{std::random_device{}()};
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

int print_one(const GenerateLine& line, const RequestPreparer& preparer, const JobServices& services, Events& events) {
  const auto exchange = std::make_shared<PrintingExchange>();  // shared with its job
  std::make_shared<GenerationJob>(exchange, services, std::random_device{}())->start(preparer.prepare(line.endpoint, line.body));
  while (!exchange->exit_code()) services.jobs.deliver(events.pop().value_or(std::vector<TokenEvent>()));
  return *exchange->exit_code();
}

// An adapter given as a folder is registered under the folder's name.
std::string register_adapter(const GenerateArguments& arguments, RuntimeOptions& options) {
  const std::filesystem::path path(arguments.adapter);
  if (!std::filesystem::exists(path / "adapter_config.json")) return arguments.adapter;
  const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
  options.named_adapters.emplace_back(name, path);
  return name;
}

// `name`: empty for the base.
Status check_adapter(const std::string& name, const std::vector<std::string>& base_names, const AdapterStore& adapters) {
  if (name.empty() || adapters.find(name) || std::ranges::find(base_names, name) != base_names.end()) return {};
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

  options->waiting_max = kSequencesMax;
  LineDefaults defaults{{}, arguments.max_tokens, arguments.temperature, arguments.seed};
  if (!arguments.adapter.empty()) defaults.adapter = register_adapter(arguments, *options);
  const Result<std::vector<GenerateLine>> lines = read_lines(arguments, defaults);
  if (!lines) return report(lines.error());
  std::optional<std::filesystem::path> chat_template;
  if (!arguments.model.chat_template.empty()) chat_template = arguments.model.chat_template;
  const Result<TextModel> text = TextModel::load(options->model_folder, chat_template);
  if (!text) return report(text.error());

  // Bounded by what the sequences in flight may generate.
  Events events(std::numeric_limits<std::size_t>::max());
  auto bar = std::make_unique<ProgressBar>();
  options->progress = [&bar](std::string_view what, std::uint64_t done, std::uint64_t total) { bar->show(what, done, total); };
  Result<std::unique_ptr<Runtime>> runtime =
      Runtime::create(std::move(*options), [&events](std::vector<TokenEvent>&& step) { (void)events.try_push(std::move(step)); });
  bar.reset();
  if (!runtime) return report(runtime.error());
  if (Status known = check_adapter(defaults.adapter, model_names_of(arguments.model), (*runtime)->adapters()); !known)
    return report(known.error());

  const std::vector<std::string> names = model_names_of(arguments.model);
  const SteadyClock clock;
  JobTable jobs;
  EngineGenerator generator((*runtime)->engine(), (*runtime)->adapters());
  RequestMetrics metrics((*runtime)->metrics(), names.front());
  const RequestPreparer preparer(names, (*runtime)->model_config().vocab_size, (*runtime)->generation_config(), *text, generator);
  const JobServices services{generator, jobs, text->tokenizer(), metrics, clock};
  if (!arguments.input.empty()) return Batch(preparer, services, events).run(*lines);
  return print_one(lines->front(), preparer, services, events);
}

}  // namespace slora
