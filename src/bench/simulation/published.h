#pragma once
#include <limits>
#include <optional>
#include <string_view>

namespace slora::bench {

inline constexpr double kNotPublished = std::numeric_limits<double>::quiet_NaN();

// What S-LoRA's evaluation measured in one run. Times in seconds; shares from 0 to 1.
struct PublishedFigures {
  double requests_per_second = kNotPublished;
  double latency = kNotPublished, first_token = kNotPublished;  // means
  double slo_attainment = kNotPublished, satisfaction = kNotPublished;
  double aborted = kNotPublished;  // requests
};

// Which run: the figure or table of the paper (arXiv 2311.03285v3), the device and setting, the system, and what was varied.
struct PublishedKey {
  std::string_view source;   // "table-3", "figure-5", ...
  std::string_view setting;  // "A10G S2"
  std::string_view system;   // as the figure's legend: "slora", "no-unify-mem", "bmm", "fcfs", "d=8", ...
  double x = 0;              // what the figure varies: n, R, cv, alpha
  double y = 0;              // a second parameter, where there is one
};

// The data behind the figures are the raw files of the S-LoRA repository (benchmarks/paper/), with more digits than the paper.
[[nodiscard]] std::optional<PublishedFigures> find_published(const PublishedKey& key);

}  // namespace slora::bench
