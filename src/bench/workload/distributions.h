#pragma once
#include <cstdint>
#include <vector>

#include "bench/workload/random_numbers.h"

namespace slora::bench {

// Distributions that yield the same bits with every compiler, C library and processor, which <random> and <cmath> do not promise: they use
// only operations that IEEE 754 rounds exactly, and are compiled without contraction to fused multiply-adds. Seeds therefore name a
// workload once and for all.

// Natural logarithm and exponential, within a few units in the last place. Requires of exact_log: x > 0, normal.
[[nodiscard]] double exact_log(double x);
[[nodiscard]] double exact_exp(double x);
// Requires: base >= 0; 0 and what underflows yield 0 for a positive exponent.
[[nodiscard]] double exact_pow(double base, double exponent);

// In (0, 1), in steps of 2^-53.
[[nodiscard]] double draw_uniform(RandomNumbers& random);
// Mean 0, variance 1. G. Marsaglia, T. A. Bray, "A convenient method for generating normal variables", SIAM Review 6 (1964).
[[nodiscard]] double draw_normal(RandomNumbers& random);
// Mean `shape`, variance `shape`. G. Marsaglia, W. W. Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000).
[[nodiscard]] double draw_gamma(RandomNumbers& random, double shape);
// In (0, 1) with density a x^(a-1): NumPy's `power`.
[[nodiscard]] double draw_power(RandomNumbers& random, double a);
// An integer of [min, max].
[[nodiscard]] std::int32_t draw_between(RandomNumbers& random, std::int32_t min, std::int32_t max);

// 1^-exponent, 2^-exponent, ..., count^-exponent, scaled to a sum of 1.
[[nodiscard]] std::vector<double> power_law_shares(std::int32_t count, double exponent);

// Draws an index in proportion to its share.
class ShareTable {
 public:
  // Requires: shares of a sum of 1, at least one.
  explicit ShareTable(const std::vector<double>& shares);
  [[nodiscard]] std::int32_t draw(RandomNumbers& random) const;

 private:
  std::vector<double> sums_;  // of the shares up to and including each index
};

// Arrival times of a stationary renewal process whose intervals are Gamma distributed, with coefficient of variation `cv`. The wait for the
// first arrival has the equilibrium distribution of a process that has been running for ever (D. R. Cox, Renewal Theory, 1962, chapter 5):
// the residue of an interval that is drawn in proportion to its length. So the expected number of arrivals within t seconds is rate x t for
// every t. A process that began with a whole interval would have up to (cv^2 - 1) / 2 more, which is most of what an adapter gets that is
// asked for a few times.
class GammaArrivals {
 public:
  // Requires: rate > 0 in arrivals a second, cv > 0.
  GammaArrivals(double rate, double cv);
  // Seconds from the start to the first arrival, and from an arrival to the next.
  [[nodiscard]] double draw_first(RandomNumbers& random) const;
  [[nodiscard]] double draw_interval(RandomNumbers& random) const;

 private:
  double shape_, scale_;
};

}  // namespace slora::bench
