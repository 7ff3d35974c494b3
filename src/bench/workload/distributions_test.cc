#include "bench/workload/distributions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace slora::bench {
namespace {

constexpr std::size_t kDraws = 100000;

std::vector<double> sorted_draws(const std::function<double(RandomNumbers&)>& draw) {
  RandomNumbers random(7);
  std::vector<double> draws(kDraws);
  for (double& value : draws) value = draw(random);
  std::ranges::sort(draws);
  return draws;
}

// Regularised incomplete gamma function P(shape, x) by its series.
double gamma_share_below(double shape, double x) {
  if (x <= 0) return 0;
  double term = 1, sum = 1;
  for (int n = 1; n < 2000 && term > 1e-17 * sum; ++n) sum += term *= x / (shape + n);
  return sum * std::exp(shape * std::log(x) - x - std::lgamma(shape + 1));
}

// Kolmogorov and Smirnov's statistic times sqrt(n): above 2.0 in one of 1500 samples of the right distribution.
double distance_from(const std::function<double(double)>& share_below, const std::vector<double>& draws) {
  double distance = 0;
  const auto count = static_cast<double>(draws.size());
  for (std::size_t i = 0; i < draws.size(); ++i) {
    const double share = share_below(draws[i]), at = static_cast<double>(i);
    distance = std::max({distance, share - at / count, (at + 1) / count - share});
  }
  return distance * std::sqrt(count);
}

TEST(Distributions, ComputesLogarithmsAndExponentialsToTheLastPlaces) {
  RandomNumbers random(1);
  for (int i = 0; i < 100000; ++i) {
    const double x = std::ldexp(draw_uniform(random) + 0.5, static_cast<int>(random.below(600)) - 300);
    EXPECT_NEAR(exact_log(x), std::log(x), 4e-16 * std::max(1.0, std::abs(std::log(x)))) << x;
    const double y = 1400 * draw_uniform(random) - 700;
    EXPECT_NEAR(exact_exp(y) / std::exp(y), 1, 1e-15) << y;
  }
  EXPECT_EQ(exact_log(1), 0);
  EXPECT_EQ(exact_exp(0), 1);
  EXPECT_EQ(exact_exp(-800), 0);
  EXPECT_EQ(exact_pow(0, 2), 0);
  EXPECT_EQ(exact_pow(3, 0), 1);
}

TEST(Distributions, DrawsGammaNumbersOfEveryShape) {
  for (const double shape : {1.0 / 64, 0.25, 1.0, 1.5, 4.0}) {
    const std::vector<double> draws = sorted_draws([&](RandomNumbers& random) { return draw_gamma(random, shape); });
    EXPECT_LT(distance_from([&](double x) { return gamma_share_below(shape, x); }, draws), 2.0) << shape;
    EXPECT_GT(distance_from([&](double x) { return gamma_share_below(shape * 1.1, x); }, draws), 5.0) << "the test can see a wrong shape";
  }
}

TEST(Distributions, DrawsNormalAndPowerNumbers) {
  const std::vector<double> normal = sorted_draws(draw_normal);
  EXPECT_LT(distance_from([](double x) { return 0.5 * std::erfc(-x / std::sqrt(2)); }, normal), 2.0);
  for (const double a : {0.1, 0.6, 1.0, 2.0}) {
    const std::vector<double> power = sorted_draws([&](RandomNumbers& random) { return draw_power(random, a); });
    EXPECT_LT(distance_from([&](double x) { return std::pow(x, a); }, power), 2.0) << a;
  }
}

TEST(Distributions, DrawsIntegersOfBothEndsEquallyOften) {
  RandomNumbers random(3);
  std::vector<double> counts(6);
  for (std::size_t i = 0; i < kDraws; ++i) ++counts.at(static_cast<std::size_t>(draw_between(random, -2, 3) + 2));
  const double expected = static_cast<double>(kDraws) / 6;
  for (const double count : counts) EXPECT_NEAR(count, expected, 5 * std::sqrt(expected));
}

TEST(Distributions, SharesFollowThePowerLaw) {
  const std::vector<double> shares = power_law_shares(4, 2);
  const double sum = 1 + 1.0 / 4 + 1.0 / 9 + 1.0 / 16;
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(shares[i], 1 / (sum * std::pow(i + 1, 2)), 1e-15);
  EXPECT_EQ(power_law_shares(5, 0), std::vector<double>(5, 0.2));
}

// The residue of a Gamma interval has mean (1 + cv^2) / (2 rate); a whole one has 1 / rate.
TEST(GammaArrivals, BeginsAsIfItHadRunForEver) {
  for (const double cv : {0.5, 1.0, 4.0}) {
    const GammaArrivals arrivals(2, cv);
    const std::vector<double> draws = sorted_draws([&](RandomNumbers& random) { return arrivals.draw_first(random); });
    double sum = 0, squares = 0;
    for (const double draw : draws) {
      sum += draw;
      squares += draw * draw;
    }
    const double mean = sum / kDraws, deviation = std::sqrt(squares / kDraws - mean * mean);
    EXPECT_NEAR(mean, (1 + cv * cv) / 4, 5 * deviation / std::sqrt(kDraws)) << cv;
  }
}

// Computed by the same formulas in Python; every machine and compiler must draw these.
TEST(Distributions, DrawsTheSameBitsEverywhere) {
  RandomNumbers random(42);
  EXPECT_EQ(draw_uniform(random), 0x1.7bae644c5fd6dp-1);
  EXPECT_EQ(draw_normal(random), -0x1.8813939bf902ap-1);
  EXPECT_EQ(draw_gamma(random, 0.0625), 0x1.308c51114eff6p-36);
  EXPECT_EQ(draw_gamma(random, 4), 0x1.8bdd532678d11p+2);
  EXPECT_EQ(draw_power(random, 0.6), 0x1.23b32fb2c1ae8p-4);
}

}  // namespace
}  // namespace slora::bench
