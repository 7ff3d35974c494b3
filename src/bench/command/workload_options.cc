#include "bench/command/workload_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "bench/workload/trace_file.h"
#include "cli/option_range.h"

namespace slora {
namespace {

std::optional<std::int32_t> parsed_length(std::string_view text) {
  std::int32_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || value < 1 || value > bench::kTraceTokensMax) return std::nullopt;
  return value;
}

// The same requests at another rate: all times change in proportion.
bench::Trace stretched(bench::Trace trace, double rate) {
  if (trace.requests.empty() || trace.seconds <= 0) return trace;
  const double factor = static_cast<double>(trace.requests.size()) / trace.seconds / rate;
  trace.seconds *= factor;
  for (bench::TraceRequest& request : trace.requests) request.arrival = std::min(request.arrival * factor, trace.seconds);
  return trace;
}

}  // namespace

void add_workload_options(CLI::App& command, WorkloadArguments& arguments) {
  bench::WorkloadOptions& options = arguments.options;
  CLI::Option* trace = command.add_option("--trace", arguments.trace, "Requests of a file that --write-trace wrote, instead of a workload");
  trace->type_name("FILE");
  const auto made = [&](CLI::Option* option, const char* type) { option->type_name(type)->excludes(trace); };
  made(command
           .add_option(
               "--workload", arguments.kind,
               "per-adapter: a process for each adapter, by the S-LoRA paper; zipf, uniform: one process; slora-release: as S-LoRA's "
               "repository")
           ->check(CLI::IsMember({"per-adapter", "zipf", "uniform", "slora-release"}).description(""))
           ->capture_default_str(),
       "NAME");
  CLI::Option* log =
      command.add_option("--log", arguments.log, "Draw the requests from a log such as Chatbot Arena's, a line of JSON each");
  made(log, "FILE");
  const auto add = [&](const char* name, auto& value, const char* what, const char* type) {
    CLI::Option* option = command.add_option(name, value, what);
    made(option, type);
    return option;
  };
  add("--adapter-count", options.adapter_count,
      "n: adapters that requests name, the first ones by name; 0: the base model; with --log at most, 0: one for each model", "N")
      ->check(in_range(0, bench::kTraceAdaptersMax))
      ->capture_default_str();
  add("--rate", options.rate, "R: requests a second, of all adapters together", "R")->check(real_range(1e-6, 1e6))->capture_default_str();
  add("--seconds", options.seconds, "Length of the trace", "S")->check(real_range(1e-3, 1e7))->capture_default_str();
  add("--alpha", options.alpha, "Exponent of the adapters' popularity: rates ~ i^-alpha; slora-release: 1 is uniform, less is skewed", "A")
      ->check(real_range(0, 100))
      ->capture_default_str();
  add("--cv", options.cv, "Coefficient of variation of the times between arrivals; 1: Poisson", "CV")
      ->check(real_range(0.01, 100))
      ->capture_default_str();
  add("--input-tokens", arguments.input_tokens, "Lengths of prompts, uniform between both; or one length", "MIN:MAX")
      ->capture_default_str();
  add("--output-tokens", arguments.output_tokens, "Lengths of answers, which nothing ends before", "MIN:MAX")->capture_default_str();
  add("--clients", options.client_weights, "Relative rates of several clients, each with a workload of its own", "W,...")
      ->delimiter(',')
      ->check(real_range(1e-6, 1e6))
      ->excludes(log);
  command.add_option("--seed", options.seed, "Makes the workload and the prompts; with --trace only the prompts")
      ->type_name("N")
      ->check(in_range(0, 1 << 30))
      ->capture_default_str();
  command.add_option("--write-trace", arguments.write_trace, "Write the requests there, so that another server gets the same")
      ->type_name("FILE");
}

void add_rate_options(CLI::App& command, RateArguments& arguments) {
  CLI::Option* rates = command.add_option("--rates", arguments.rates, "A run at each of these rates, instead of --rate");
  rates->delimiter(',')->type_name("R,...")->check(real_range(1e-6, 1e6));
  command
      .add_flag("--find-saturation", arguments.find_saturation,
                "Find the highest rate that keeps the SLO, from --rate or the trace's rate on")
      ->excludes(rates);
  command.add_option("--slo", arguments.serving.slo_seconds, "SLO: time to the first token, in seconds")
      ->type_name("S")
      ->check(real_range(1e-3, 1e6))
      ->capture_default_str();
  command.add_option("--attainment", arguments.attainment, "--find-saturation: share of all requests that must attain the SLO")
      ->type_name("SHARE")
      ->check(real_range(0.01, 1))
      ->capture_default_str();
}

Result<bench::LengthRange> parse_length_range(const std::string& text, const std::string& option) {
  const std::size_t colon = text.find(':');
  const std::optional<std::int32_t> min = parsed_length(text.substr(0, colon));
  const std::optional<std::int32_t> max = colon == std::string::npos ? min : parsed_length(text.substr(colon + 1));
  if (min && max && *min <= *max) return bench::LengthRange{*min, *max};
  return error("bad_option", "{}: expected MIN:MAX, two numbers of tokens, or one; found {}", option, text);
}

Result<TraceSource> TraceSource::create(const WorkloadArguments& arguments) {
  TraceSource source;
  source.options_ = arguments.options;
  const Result<bench::WorkloadKind> kind = bench::workload_kind_of(arguments.kind);
  const Result<bench::LengthRange> input = parse_length_range(arguments.input_tokens, "--input-tokens");
  const Result<bench::LengthRange> output = parse_length_range(arguments.output_tokens, "--output-tokens");
  if (!kind) return tl::unexpected(kind.error());
  if (!input || !output) return tl::unexpected((input ? output : input).error());
  source.options_.kind = *kind;
  source.options_.input_tokens = *input;
  source.options_.output_tokens = *output;
  if (!arguments.trace.empty()) {
    Result<bench::Trace> trace = bench::read_trace(arguments.trace);
    if (!trace) return error("bad_option", "--trace: {}", trace.error().message);
    source.trace_ = std::move(*trace);
    source.trace_name_ = arguments.trace;
  } else if (!arguments.log.empty()) {
    Result<bench::RequestLog> log = bench::read_request_log(arguments.log);
    if (!log) return error("bad_option", "--log: {}", log.error().message);
    source.log_ = std::move(*log);
    source.log_name_ = arguments.log;
  }
  return source;
}

Result<bench::Trace> TraceSource::make(std::optional<double> rate) const {
  if (trace_) return rate ? stretched(*trace_, *rate) : *trace_;
  if (log_) {
    const std::int32_t tokens_max = std::max(options_.input_tokens.max, options_.output_tokens.max);
    return bench::replay_log(*log_, {.rate = rate.value_or(options_.rate),
                                     .seconds = options_.seconds,
                                     .adapter_count = options_.adapter_count,
                                     .tokens_max = tokens_max,
                                     .seed = options_.seed});
  }
  bench::WorkloadOptions options = options_;
  if (rate) options.rate = *rate;
  return bench::make_workload(options);
}

double TraceSource::rate() const {
  if (!trace_) return options_.rate;
  return trace_->seconds > 0 ? static_cast<double>(trace_->requests.size()) / trace_->seconds : std::numeric_limits<double>::infinity();
}

double TraceSource::rate_max(double slo_seconds) const {
  return trace_ ? static_cast<double>(trace_->requests.size()) / slo_seconds : std::numeric_limits<double>::infinity();
}

Json TraceSource::description() const {
  if (trace_) return {{"trace", trace_name_}};
  Json json = to_json(options_);
  if (!log_) return json;
  for (const char* unused : {"workload", "alpha", "cv"}) json.erase(unused);
  json["log"] = log_name_;
  json["models"] = log_->models.size();
  json["multi_turn_left_out"] = log_->multi_turn_count;
  json["lengths_estimated"] = log_->estimated_count;
  return json;
}

}  // namespace slora
