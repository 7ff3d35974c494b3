#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bench/workload/trace.h"
#include "formats/json.h"

namespace slora::bench {

// Both ends included.
struct LengthRange {
  std::int32_t min = 8, max = 512;
};

// How requests arrive and which adapter each names.
enum class WorkloadKind : std::uint8_t {
  // A Gamma process for each adapter, with rates that follow a power law: rate_i ~ i^-alpha, i = 1..n. The S-LoRA paper's section 7.2, as
  // it is written.
  per_adapter,
  // One Gamma process; each request draws its adapter by Zipf's law, with probability ~ i^-alpha.
  zipf,
  // The same with equal probabilities.
  uniform,
  // What S-LoRA's repository does (benchmarks/trace.py), with which its figures were measured: one Gamma process of exactly
  // int(rate x seconds) requests, which begins with a whole interval and may end after `seconds`; adapter floor(n u), where u is drawn from
  // NumPy's power distribution with density alpha u^(alpha - 1), so that alpha = 1 is no skew and less is more; lengths below the upper
  // ends of their ranges. Its numbers are drawn otherwise, so that traces have equal statistics and not equal requests.
  slora_release,
};

// The parameters of a synthetic workload, with the names of the S-LoRA paper's section 7.2.
struct WorkloadOptions {
  WorkloadKind kind = WorkloadKind::per_adapter;
  std::int32_t adapter_count = 16;  // n; 0: the base model only
  double alpha = 1;                 // exponent of the popularity; uniform: not used
  double rate = 2;                  // R: requests a second, of all adapters and clients
  double cv = 1;                    // coefficient of variation of the intervals between arrivals; 1: Poisson
  double seconds = 300;             // the last request arrives before
  LengthRange input_tokens, output_tokens;
  // Relative rates of clients, each a workload of its own that gets this share of the rate; empty: one client.
  std::vector<double> client_weights;
  std::uint64_t seed = 42;
};

// Upper bounds, so that a typing error is an error and does not fill the memory.
inline constexpr double kTraceRequestsMax = 4e6;
inline constexpr std::int32_t kTraceAdaptersMax = 1 << 20;
inline constexpr std::int32_t kTraceTokensMax = 1 << 24;

[[nodiscard]] std::string_view name_of(WorkloadKind kind);
// By the names "per-adapter", "zipf", "uniform" and "slora-release".
[[nodiscard]] Result<WorkloadKind> workload_kind_of(std::string_view name);

// Equal options make equal traces, on every machine. Another rate makes the same draws, at other times: runs of a sweep differ by nothing
// else. E_WORKLOAD names the parameter that is out of range.
[[nodiscard]] Result<Trace> make_workload(const WorkloadOptions& options);

[[nodiscard]] Json to_json(const WorkloadOptions& options);

}  // namespace slora::bench
