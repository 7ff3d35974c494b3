#include "bench/simulation/released_trace.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "base/check.h"

namespace slora::bench {
namespace {

// numpy.random.RandomState: the Mersenne Twister, and the transformations that NumPy keeps for it (legacy-distributions.c).
class NumpyRandom {
 public:
  explicit NumpyRandom(std::uint64_t seed) : engine_(static_cast<std::uint32_t>(seed)) {}

  // [0, 1), in steps of 2^-53.
  double uniform() {
    const auto high = static_cast<double>(engine_() >> 5), low = static_cast<double>(engine_() >> 6);
    return (high * 67108864 + low) / 9007199254740992;
  }
  double exponential() { return -std::log(1 - uniform()); }
  double power(double a) { return std::pow(1 - std::exp(-exponential()), 1 / a); }
  // [least, end), by rejection of masked draws. Requires: least < end.
  std::int32_t below(std::int32_t least, std::int32_t end) {
    const auto most = static_cast<std::uint32_t>(end - least - 1);
    if (most == 0) return least;
    const std::uint32_t mask = std::bit_ceil(most + 1) - 1;
    std::uint32_t drawn = 0;
    do drawn = static_cast<std::uint32_t>(engine_()) & mask;
    while (drawn > most);
    return least + static_cast<std::int32_t>(drawn);
  }
  // Requires: 0 < shape <= 1. J. H. Ahrens, U. Dieter, "Computer methods for sampling from gamma, beta, Poisson and binomial
  // distributions" (1974), algorithm GS.
  double gamma(double shape) {
    if (shape == 1) return exponential();
    for (;;) {
      const double u = uniform(), v = exponential();
      if (u <= 1 - shape) {
        if (const double x = std::pow(u, 1 / shape); x <= v) return x;
      } else {
        const double y = -std::log((1 - u) / shape);
        if (const double x = std::pow(1 - shape + shape * y, 1 / shape); x <= v + y) return x;
      }
    }
  }

 private:
  std::mt19937 engine_;
};

}  // namespace

Result<Trace> make_released_trace(const WorkloadOptions& options) {
  check(options.kind == WorkloadKind::slora_release && options.client_weights.size() < 2 && options.cv >= 1,
        "expected the released workload, of one client, with a cv of at least 1");
  Result<Trace> trace = make_workload(options);  // checks the options, and has as many requests
  if (!trace) return trace;
  NumpyRandom random(options.seed);
  std::vector<TraceRequest>& requests = trace->requests;
  for (TraceRequest& request : requests) {
    const auto index = static_cast<std::int32_t>(random.power(options.alpha) * options.adapter_count);
    request.adapter = std::min(index, options.adapter_count - 1);  // -1 for n = 0
  }
  for (TraceRequest& request : requests) request.input_tokens = random.below(options.input_tokens.min, options.input_tokens.max);
  for (TraceRequest& request : requests) request.output_tokens = random.below(options.output_tokens.min, options.output_tokens.max);
  double arrival = 0;
  for (TraceRequest& request : requests) {
    arrival += random.gamma(1 / (options.cv * options.cv)) * options.cv * options.cv / options.rate;
    request.arrival = arrival;
  }
  return trace;
}

}  // namespace slora::bench
