#include "bench/command/online.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/command/log.h"
#include "bench/command/rate_runs.h"
#include "bench/machine_facts.h"
#include "bench/online_run.h"
#include "bench/traffic_http.h"
#include "bench/workload/saturation.h"
#include "bench/workload/serving_charts.h"
#include "bench/workload/trace_file.h"
#include "cli/interrupt.h"
#include "cli/option_range.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"

namespace slora {
namespace {

using bench::SaturationRun;
using bench::ServingMetrics;

constexpr double kLateSeconds = 0.01;  // a client that is later than this at p99 measures itself

// Sends traces to one server, and reports each run.
class OnlineBench {
 public:
  OnlineBench(const BenchOnlineArguments& arguments, const std::atomic<bool>& stop) : arguments_(arguments), stop_(stop) {}

  // An error when there is no such server, it lacks adapters, or it refuses such requests.
  Status open(const std::string& command_line) {
    Result<TraceSource> source = TraceSource::create(arguments_.workload);
    if (!source) return forward_error(source);
    source_ = std::move(*source);
    if (Status checked = check_search(arguments_.rates, *source_); !checked) return checked;
    Result<std::unique_ptr<bench::TrafficHttp>> server =
        bench::TrafficHttp::create({.url = arguments_.url,
                                    .key = arguments_.api_key,
                                    .token_count = bench::TrafficHttpOptions::TokenCount::by_server,
                                    .connections = bench::TrafficHttpOptions::Connections::each});
    if (!server) return forward_error(server);
    server_ = std::move(*server);
    const Result<bench::Trace> first = source_->make(first_rate_of(arguments_.rates, source_->rate()));
    if (!first) return tl::unexpected(first.error());
    if (Status named = name_adapters(first->adapter_count); !named) return named;
    prompts_.form = arguments_.prompt_form == "text" ? bench::PromptForm::text : bench::PromptForm::ids;
    prompts_.vocabulary = arguments_.vocabulary;
    prompts_.seed = arguments_.workload.options.seed;
    if (Status probed = bench::probe_target(*server_, prompts_, clock_, stop_); !probed) return probed;
    const std::string& path = arguments_.workload.write_trace;
    if (!path.empty()) {
      if (const Status written = bench::write_trace(path, *first); !written)
        return error("bad_option", "--write-trace: {}", written.error().message);
    }
    if (Status checked = check_svg(arguments_.svg); !checked) return checked;
    if (Status opened = log_.open(arguments_.json); !opened) return opened;
    log_.write({{"command", command_line},
                {"machine", to_json(bench::machine_facts())},
                {"url", arguments_.url},
                {"prompt_form", arguments_.prompt_form},
                {"vocabulary", arguments_.vocabulary},
                {"requests", source_->description()}});
    return {};
  }

  // One run; nothing when it was interrupted, though what had ended until then is reported.
  Result<std::optional<ServingMetrics>> run(std::optional<double> rate) {
    Result<bench::Trace> trace = source_->make(rate);
    if (!trace) return forward_error(trace);
    Result<bench::OnlineRun> run = send(*trace);
    if (!run) return forward_error(run);
    prompts_.seed += 1000003;  // the next run's prompts are new to the server's prefix cache
    if (run->interrupted) {
      trace->requests.resize(run->served.size());
      trace->seconds = trace->requests.empty() ? 0 : trace->requests.back().arrival;
    }
    const ServingMetrics metrics = bench::serving_metrics_of(*trace, run->served, arguments_.rates.serving);
    print(*trace, *run, metrics);
    record(*trace, *run, metrics);
    failed_count_ += metrics.failed + metrics.unsent;
    if (metrics.requests > 0) runs_.push_back({rate.value_or(metrics.offered_per_second), metrics});
    if (runs_.size() == 1) charts_ = bench::latency_charts(arguments_.url, *trace, run->served);
    if (run->interrupted) return std::nullopt;
    return metrics;
  }

  void record_saturation(const bench::Saturation& found) { report_saturation(found, arguments_.rates, log_); }

  Status close(bool interrupted) {
    if (interrupted) log_.write({{"interrupted", true}});
    if (Status closed = log_.close(); !closed) return closed;
    if (runs_.size() > 1) charts_ = bench::rate_charts(std::vector<bench::RateCurve>{{"", runs_}});
    return write_svg(arguments_.svg, charts_);
  }

  // Requires: open() succeeded.
  [[nodiscard]] const TraceSource& source() const { return *source_; }
  [[nodiscard]] std::size_t failed_count() const { return failed_count_; }

 private:
  Status name_adapters(std::int32_t count) {
    Result<std::vector<std::string>> listed = server_->adapter_names();
    if (!listed) return forward_error(listed);
    if (!arguments_.adapter_names.empty()) {
      Result<std::vector<std::string>> names = names_by_pattern(arguments_.adapter_names, count);
      if (!names) return forward_error(names);
      prompts_.adapters = std::move(*names);
      return {};
    }
    if (listed->size() < static_cast<std::size_t>(count)) {
      return error("bad_option", "--adapter-count: the requests name {} adapters, and the server lists {}; or name them by --adapter-names",
                   count, listed->size());
    }
    listed->resize(static_cast<std::size_t>(count));
    prompts_.adapters = std::move(*listed);
    return {};
  }

  Result<bench::OnlineRun> send(const bench::Trace& trace) {
    ProgressBar bar;
    const auto progress = [&](std::uint64_t done, std::uint64_t total) {
      bar.show(fmt::format("Requests, {:.3g}/s", static_cast<double>(total) / std::max(trace.seconds, 1e-9)), done, total);
    };
    progress(0, trace.requests.size());
    return bench::run_online(*server_, trace, prompts_, clock_, progress, stop_);
  }

  void print(const bench::Trace& trace, const bench::OnlineRun& run, const ServingMetrics& metrics) const {
    if (!runs_.empty()) fmt::print("\n");
    for (const std::string& line : bench::lines_of(metrics)) fmt::print("{}\n", line);
    const std::vector<ServingMetrics> clients = bench::metrics_by_client(trace, run.served, arguments_.rates.serving);
    for (std::size_t i = 0; clients.size() > 1 && i < clients.size(); ++i) {
      fmt::print("client {:<6} {} requests, {:.1f} % attained, first token p50 {:.2f}, p99 {:.2f} s, {:.1f} output tokens/s\n", i,
                 clients[i].requests, 100 * clients[i].slo_attainment, clients[i].first_token.p50, clients[i].first_token.p99,
                 clients[i].output_tokens_per_second);
    }
    const bench::TimeStats late = bench::time_stats_of(run.late_seconds);
    fmt::print("client        was late by p50 {:.2f}, p99 {:.2f}, max {:.2f} ms; {:.2f} s of processor time{}\n", late.p50 * 1e3,
               late.p99 * 1e3, late.max * 1e3, run.processor_seconds,
               late.p99 > kLateSeconds ? ": it can't keep up, do not trust these times" : "");
    if (run.cached_tokens > 0) {
      fmt::print("cached        {} prompt tokens were known to the server already: choose another --seed\n", run.cached_tokens);
    }
    if (run.prompt_tokens > 0 && run.prompt_tokens != metrics.input_tokens) {
      fmt::print("prompts       {} tokens as the server counts, {} in the trace\n", run.prompt_tokens, metrics.input_tokens);
    }
    if (!run.first_abort.empty()) fmt::print("aborted       the first: {}\n", run.first_abort);
    if (!run.first_unsent.empty()) {
      fmt::print("not sent      the first: {}: the load was less than the trace's, do not trust these figures\n", run.first_unsent);
    }
    if (!run.first_failure.empty()) fmt::print("failed        the first: {}\n", run.first_failure);
    if (run.interrupted) fmt::print("interrupted   these are the requests sent until then\n");
    std::fflush(stdout);
  }

  // One line for each request, and one for the run.
  void record(const bench::Trace& trace, const bench::OnlineRun& run, const ServingMetrics& metrics) {
    if (arguments_.json.empty()) return;
    const double rate = metrics.offered_per_second;
    for (std::size_t i = 0; i < run.served.size(); ++i) {
      Json line = {{"rate", rate}};
      line.update(to_json(run.served[i]));
      line["adapter"] = trace.requests[i].adapter;
      line["client"] = trace.requests[i].client;
      line["input_tokens"] = trace.requests[i].input_tokens;
      line["late"] = run.late_seconds[i];
      log_.write(line);
    }
    Json line = {{"rate", rate}, {"summary", to_json(metrics)}, {"late_seconds", to_json(bench::time_stats_of(run.late_seconds))}};
    line["processor_seconds"] = run.processor_seconds;
    line["prompt_tokens"] = run.prompt_tokens;
    line["cached_tokens"] = run.cached_tokens;
    if (!run.first_failure.empty()) line["first_failure"] = run.first_failure;
    if (!run.first_unsent.empty()) line["first_unsent"] = run.first_unsent;
    if (!run.first_abort.empty()) line["first_abort"] = run.first_abort;
    const std::vector<ServingMetrics> clients = bench::metrics_by_client(trace, run.served, arguments_.rates.serving);
    for (std::size_t i = 0; clients.size() > 1 && i < clients.size(); ++i) line["clients"].push_back(to_json(clients[i]));
    log_.write(line);
  }

  const BenchOnlineArguments& arguments_;
  const std::atomic<bool>& stop_;
  const SteadyClock clock_;
  std::optional<TraceSource> source_;
  std::unique_ptr<bench::TrafficHttp> server_;
  bench::PromptOptions prompts_;
  BenchLog log_;
  std::vector<SaturationRun> runs_;
  std::vector<LineChart> charts_;  // of the first run, until there are more
  std::size_t failed_count_ = 0;
};

}  // namespace

Result<std::vector<std::string>> names_by_pattern(const std::string& pattern, std::int32_t count) {
  const std::size_t at = pattern.find("{}");
  if (at == std::string::npos || pattern.find("{}", at + 2) != std::string::npos) {
    return error("bad_option", "--adapter-names: expected a pattern with one {{}}, such as lora-{{}}, found {}", pattern);
  }
  std::vector<std::string> names;
  for (std::int32_t i = 0; i < count; ++i) names.push_back(pattern.substr(0, at) + std::to_string(i) + pattern.substr(at + 2));
  return names;
}

CLI::App* add_bench_online(CLI::App& bench, BenchOnlineArguments& arguments) {
  CLI::App* command = bench.add_subcommand("online", "Measure a server under requests that arrive whether or not it is ready");
  command->add_option("--url", arguments.url, "Server with OpenAI's /v1/completions")->type_name("URL")->capture_default_str();
  command->add_option("--api-key", arguments.api_key, "The server's key")->type_name("KEY")->envname("SLORA_API_KEY");
  command
      ->add_option("--adapter-names", arguments.adapter_names,
                   "Model names of the adapters, {} being 0, 1, ... [those that the server lists with a parent]")
      ->type_name("PATTERN");
  command->add_option("--prompt-form", arguments.prompt_form, "Prompts as token ids, or as text of about a token a word")
      ->type_name("ids|text")
      ->check(CLI::IsMember({"ids", "text"}).description(""))
      ->capture_default_str();
  command->add_option("--vocabulary", arguments.vocabulary, "Prompts hold random token ids below; give less for a model that has less")
      ->type_name("N")
      ->check(in_range(1, 1 << 24))
      ->capture_default_str();
  add_workload_options(*command, arguments.workload);
  add_rate_options(*command, arguments.rates);
  command->add_option("--json", arguments.json, "Write there: a line of JSON for each request, and one for each run")->type_name("FILE");
  command->add_option("--svg", arguments.svg, "Draw there: attainment, first token and throughput over the rate, or one run's latencies")
      ->type_name("FILE");
  command->footer(
      "Requests are sent when they are due, whatever is running; times count from then. Answers have exactly the lengths of the workload.\n"
      "429 and 503 count as aborted, limits of this client as not sent, other errors as failed. Examples:\n"
      "  slora bench online --adapter-count 64 --rate 2 --cv 4 --seconds 120 --json run.jsonl\n"
      "  slora bench online --adapter-count 64 --rates 0.5,1,2,4 --slo 6 --svg rates.svg\n"
      "  slora bench online --adapter-count 64 --rate 1 --find-saturation\n"
      "  slora bench online --url http://peer:8000 --adapter-names lora-{} --prompt-form text --trace requests.jsonl\n");
  return command;
}

int run_bench_online(const BenchOnlineArguments& arguments, const std::string& command_line) {
  const Interrupt interrupt("stopping");
  OnlineBench online(arguments, interrupt.requested());
  if (Status opened = online.open(command_line); !opened) return report(opened.error());
  const Result<RatesOutcome> ran =
      run_rates(arguments.rates, online.source(), [&](std::optional<double> rate) { return online.run(rate); });
  if (ran && ran->saturation) online.record_saturation(*ran->saturation);
  if (Status closed = online.close(ran && ran->interrupted); !closed) return report(closed.error());
  if (!ran) return report(ran.error());
  if (ran->interrupted) return kInterrupted;
  return online.failed_count() == 0 ? 0 : 1;
}

}  // namespace slora
