#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace slora {

// A matrix of rank r as a product: b [rows, r] a [r, cols], row after row.
struct FactoredMatrix {
  std::vector<float> a, b;
};

// The closest matrix of rank `rank` to w [rows, cols], U_r S_r V_r of its singular value decomposition: an orthonormal basis of the largest
// singular vectors on the shorter side, found in double, times what w is in it. Nothing where the search for them does not converge.
// Requires: 1 <= rank <= rows, cols; finite numbers.
[[nodiscard]] std::optional<FactoredMatrix> best_approximation(std::span<const float> w, std::int64_t rows, std::int64_t cols,
                                                               std::int64_t rank);

// Q_r R_r, the first `rank` columns and rows of w = Q R, where Q has orthonormal columns and R is upper triangular: b is Q_r, a is
// Q_r^T w. Requires: 1 <= rank <= rows, cols; finite numbers.
[[nodiscard]] FactoredMatrix leading_qr(std::span<const float> w, std::int64_t rows, std::int64_t cols, std::int64_t rank);

}  // namespace slora
