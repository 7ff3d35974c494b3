#include "bench/workload/distributions.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "base/check.h"

namespace slora::bench {
namespace {

constexpr double kLn2High = 0x1.62e42fefa38p-1;  // 32 bits, so that its multiples by an exponent are exact
constexpr double kLn2Low = 0x1.ef35793c7673p-45;
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

}  // namespace

// x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 artanh((m - 1) / (m + 1)), a series whose terms shrink by 34 or more.
double exact_log(double x) {
  check(x >= std::numeric_limits<double>::min(), "expected a positive number");
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < kSqrtHalf) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1) / (m + 1), square = s * s;
  double sum = 0;
  for (int power = 25; power >= 3; power -= 2) sum = square * (1.0 / power + sum);
  return exponent * kLn2High + (exponent * kLn2Low + 2 * s * sum + 2 * s);
}

// x = k log 2 + r with |r| <= log(2) / 2; a Taylor series of r.
double exact_exp(double x) {
  if (x > 709) return std::numeric_limits<double>::infinity();
  if (x < -745) return 0;
  const double k = std::floor(x * 0x1.71547652b82fep0 + 0.5);
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double sum = 1;
  for (int term = 16; term >= 1; --term) sum = 1 + r * sum / term;
  return std::ldexp(sum, static_cast<int>(k));
}

double exact_pow(double base, double exponent) {
  if (exponent == 0 || base == 1) return 1;
  if (base < std::numeric_limits<double>::min()) return exponent > 0 ? 0 : std::numeric_limits<double>::infinity();
  return exact_exp(exponent * exact_log(base));
}

// The middle of one of 2^53 equal parts would need 54 bits: the top of the range is left out instead.
double draw_uniform(RandomNumbers& random) {
  for (;;) {
    const std::uint64_t bits = random.next() >> 11;
    if (bits > 0) return static_cast<double>(bits) * 0x1p-53;
  }
}

// The polar method; the second number of the pair is dropped, so that a draw leaves no state.
double draw_normal(RandomNumbers& random) {
  for (;;) {
    const double u = 2 * draw_uniform(random) - 1, v = 2 * draw_uniform(random) - 1;
    const double square = u * u + v * v;
    if (square > 0x1p-100 && square < 1) return u * std::sqrt(-2 * exact_log(square) / square);
  }
}

// Shapes below 1 by the identity of section 6: a draw of shape + 1, times U^(1 / shape).
double draw_gamma(RandomNumbers& random, double shape) {
  check(shape > 0, "expected a positive shape");
  if (shape < 1) {
    const double larger = draw_gamma(random, shape + 1);
    return larger * exact_pow(draw_uniform(random), 1 / shape);
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = draw_normal(random), root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (exact_log(draw_uniform(random)) < 0.5 * x * x + d - d * v + d * exact_log(v)) return d * v;
  }
}

// The inverse of its distribution function x^a.
double draw_power(RandomNumbers& random, double a) { return exact_pow(draw_uniform(random), 1 / a); }

std::int32_t draw_between(RandomNumbers& random, std::int32_t min, std::int32_t max) {
  check(min <= max, "expected min <= max");
  const auto count = static_cast<std::uint64_t>(std::int64_t{max} - min + 1);
  return static_cast<std::int32_t>(min + static_cast<std::int64_t>(random.below(count)));
}

std::vector<double> power_law_shares(std::int32_t count, double exponent) {
  std::vector<double> shares(static_cast<std::size_t>(count));
  double sum = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) sum += shares[i] = exact_pow(static_cast<double>(i + 1), -exponent);
  for (double& share : shares) share /= sum;
  return shares;
}

ShareTable::ShareTable(const std::vector<double>& shares) {
  check(!shares.empty(), "expected shares");
  double sum = 0;
  for (const double share : shares) sums_.push_back(sum += share);
}

std::int32_t ShareTable::draw(RandomNumbers& random) const {
  const auto at = std::ranges::upper_bound(sums_, draw_uniform(random) * sums_.back());
  return static_cast<std::int32_t>(std::min(at - sums_.begin(), static_cast<std::ptrdiff_t>(sums_.size()) - 1));
}

GammaArrivals::GammaArrivals(double rate, double cv) : shape_(1 / (cv * cv)), scale_(cv * cv / rate) {
  check(rate > 0 && cv > 0, "expected a positive rate and cv");
}

// Drawn in proportion to its length, a Gamma interval has one more in its shape.
double GammaArrivals::draw_first(RandomNumbers& random) const {
  const double interval = scale_ * draw_gamma(random, shape_ + 1);
  return interval * draw_uniform(random);
}

double GammaArrivals::draw_interval(RandomNumbers& random) const { return scale_ * draw_gamma(random, shape_); }

}  // namespace slora::bench
