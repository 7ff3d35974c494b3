#include "adapters/subspace.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <utility>

namespace slora {
namespace {

using Vectors = std::vector<std::vector<double>>;

double inner(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

Vectors orthonormal(std::size_t count, std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Vectors vectors;
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<double>& vector = vectors.emplace_back(size);
    for (double& value : vector) value = normal(random);
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t j = 0; j < i; ++j) {
        const double share = inner(vector, vectors[j]);
        for (std::size_t k = 0; k < size; ++k) vector[k] -= share * vectors[j][k];
      }
    }
    const double norm = std::sqrt(inner(vector, vector));
    for (double& value : vector) value /= norm;
  }
  return vectors;
}

// The sum of `singular`[i] u_i v_i^T, [rows, cols].
std::vector<float> made_of(const Vectors& u, const Vectors& v, const std::vector<double>& singular) {
  std::vector<float> w;
  for (std::size_t row = 0; row < u[0].size(); ++row) {
    for (std::size_t col = 0; col < v[0].size(); ++col) {
      double sum = 0;
      for (std::size_t i = 0; i < singular.size(); ++i) sum += singular[i] * u[i][row] * v[i][col];
      w.push_back(static_cast<float>(sum));
    }
  }
  return w;
}

std::vector<float> product(const FactoredMatrix& matrix, std::size_t rank) {
  const std::size_t rows = matrix.b.size() / rank, cols = matrix.a.size() / rank;
  std::vector<float> w;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t col = 0; col < cols; ++col) {
      float sum = 0;
      for (std::size_t i = 0; i < rank; ++i) sum += matrix.b[row * rank + i] * matrix.a[i * cols + col];
      w.push_back(sum);
    }
  }
  return w;
}

void expect_near(const std::vector<float>& found, const std::vector<float>& expected, float tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  float worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) worst = std::max(worst, std::abs(found[i] - expected[i]));
  EXPECT_LT(worst, tolerance);
}

std::vector<float> random_matrix(std::size_t count) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> w(count);
  for (float& value : w) value = normal(random);
  return w;
}

// Wide and tall ones, small enough that all vectors are computed, and so large that only the wanted ones are searched for.
TEST(Subspace, FindsTheLargestSingularVectors) {
  for (const auto& [rows, cols] : {std::pair(24u, 40u), std::pair(40u, 24u), std::pair(300u, 330u), std::pair(330u, 300u)}) {
    SCOPED_TRACE(testing::Message() << rows << " x " << cols);
    const Vectors u = orthonormal(9, rows, 1), v = orthonormal(9, cols, 2);
    const std::vector<double> singular = {9, 7, 6.9, 6, 5, 4.9, 2, 1, 0.5};
    const auto found = best_approximation(made_of(u, v, singular), rows, cols, 5);
    ASSERT_TRUE(found);
    expect_near(product(*found, 5), made_of(u, v, {9, 7, 6.9, 6, 5}), 2e-6f);
  }
}

// Of such a matrix the largest singular values lie close to each other.
TEST(Subspace, FindsTheSameOfRandomMatricesByBothWays) {
  constexpr std::int64_t kRows = 280, kCols = 300, kRank = 6;
  const std::vector<float> w = random_matrix(kRows * kCols);
  const auto searched = best_approximation(w, kRows, kCols, kRank);
  const auto chosen = best_approximation(w, kRows, kCols, kRows / 2);  // all are computed
  ASSERT_TRUE(searched && chosen);
  // The eigenvectors of the larger basis are in ascending order: its last ones are the largest.
  FactoredMatrix largest;
  for (std::int64_t row = 0; row < kRows; ++row) {
    const float* const end = chosen->b.data() + (row + 1) * (kRows / 2);
    largest.b.insert(largest.b.end(), end - kRank, end);
  }
  largest.a.assign(chosen->a.end() - kRank * kCols, chosen->a.end());
  expect_near(product(*searched, kRank), product(largest, kRank), 2e-5f);
}

TEST(Subspace, GivesTheWholeMatrixOfFullRank) {
  const std::vector<float> w = random_matrix(6 * 9);
  const auto found = best_approximation(w, 6, 9, 6);
  ASSERT_TRUE(found);
  expect_near(product(*found, 6), w, 2e-6f);
  expect_near(product(leading_qr(w, 6, 9, 6), 6), w, 2e-6f);
}

// Q_r R_r equals the first columns, and what is left of the others is orthogonal to Q_r.
TEST(Subspace, TakesTheFirstColumnsOfQr) {
  for (const auto& [rows, cols] : {std::pair(30u, 50u), std::pair(50u, 30u)}) {
    constexpr std::size_t kRank = 4;
    const std::vector<float> w = random_matrix(rows * cols);
    const FactoredMatrix found = leading_qr(w, rows, cols, kRank);
    const std::vector<float> taken = product(found, kRank);
    for (std::size_t col = 0; col < cols; ++col) {
      float shares[kRank] = {};
      for (std::size_t row = 0; row < rows; ++row) {
        const float left = w[row * cols + col] - taken[row * cols + col];
        if (col < kRank) {
          EXPECT_NEAR(left, 0, 2e-6f);
        }
        for (std::size_t i = 0; i < kRank; ++i) shares[i] += left * found.b[row * kRank + i];
      }
      for (const float share : shares) EXPECT_NEAR(share, 0, 2e-5f);
    }
  }
}

}  // namespace
}  // namespace slora
