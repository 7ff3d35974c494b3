#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "bench/workload/request_log.h"
#include "bench/workload/serving_metrics.h"
#include "bench/workload/workload.h"

namespace slora {

// The options that say which requests arrive, as text from the command line: of a workload that is made, a log that is replayed or a trace
// that was written. For every command that serves a trace.
struct WorkloadArguments {
  std::string kind = "per-adapter";
  bench::WorkloadOptions options;  // except the kind and the ranges
  std::string input_tokens = "8:512", output_tokens = "8:512";
  std::string log;          // a file to replay; empty: none
  std::string trace;        // a file to read; empty: none
  std::string write_trace;  // a file to write; empty: none
};

// Figures at several rates, or the search for the rate at which the SLO breaks.
struct RateArguments {
  std::vector<double> rates;  // empty: the workload's
  bool find_saturation = false;
  double attainment = 0.9;  // what a sustained rate attains
  bench::ServingOptions serving;
};

void add_workload_options(CLI::App& command, WorkloadArguments& arguments);
void add_rate_options(CLI::App& command, RateArguments& arguments);

// "8:512", or "100" for both ends. bad_option names the option.
[[nodiscard]] Result<bench::LengthRange> parse_length_range(const std::string& text, const std::string& option);

// Makes traces of the chosen kind; the files are read once.
class TraceSource {
 public:
  [[nodiscard]] static Result<TraceSource> create(const WorkloadArguments& arguments);

  // At `rate` requests a second. A trace from a file has its own: the distances between its requests are stretched to this rate; none: it
  // is left as it is, and others have the rate of the options.
  [[nodiscard]] Result<bench::Trace> make(std::optional<double> rate) const;
  // The rate of what is made: a trace's own, or that of the options. Infinite for a trace whose requests all arrive at once.
  [[nodiscard]] double rate() const;
  // The highest rate at which a run shows whether the SLO is kept: at a higher one all requests of a trace from a file arrive within it, so
  // that they attain it although the server is overloaded. Infinite for what is made for as long as the options say.
  [[nodiscard]] double rate_max(double slo_seconds) const;
  [[nodiscard]] double seconds() const { return trace_ ? trace_->seconds : options_.seconds; }
  // What is made, for the record.
  [[nodiscard]] Json description() const;

 private:
  TraceSource() = default;

  bench::WorkloadOptions options_;
  std::string log_name_, trace_name_;
  std::optional<bench::RequestLog> log_;
  std::optional<bench::Trace> trace_;
};

}  // namespace slora
