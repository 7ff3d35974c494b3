#include "adapters/subspace.h"

#include <Spectra/SymEigsSolver.h>

#include <Eigen/Dense>
#include <algorithm>

#include "base/check.h"

namespace slora {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Weight = Eigen::Map<const RowMajor>;

// Smaller problems, and those that want many of all vectors, are solved for all of them, which takes no iterations that could fail.
constexpr Eigen::Index kAllVectorsSize = 256;
constexpr Eigen::Index kAllVectorsShare = 4;

// W W^T, or W^T W where that is smaller; the lower half. In double, since squares lose half of the digits. A piece of W at a time.
Eigen::MatrixXd gram_matrix(const Weight& w) {
  constexpr Eigen::Index kPiece = 256;
  const bool is_wide = w.rows() <= w.cols();
  const Eigen::Index size = std::min(w.rows(), w.cols()), length = std::max(w.rows(), w.cols());
  Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(size, size);
  Eigen::MatrixXd piece;  // [size, kPiece]
  for (Eigen::Index begin = 0; begin < length; begin += kPiece) {
    const Eigen::Index count = std::min(kPiece, length - begin);
    if (is_wide) {
      piece = w.middleCols(begin, count).cast<double>();
    } else {
      piece = w.middleRows(begin, count).transpose().cast<double>();
    }
    gram.selfadjointView<Eigen::Lower>().rankUpdate(piece);
  }
  return gram;
}

// Eigenvectors of the `count` largest eigenvalues: [size, count].
std::optional<Eigen::MatrixXd> largest_eigenvectors(const Eigen::MatrixXd& gram, Eigen::Index count) {
  const Eigen::Index size = gram.rows();
  if (size <= kAllVectorsSize || count > size / kAllVectorsShare) {
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(gram);
    if (solver.info() != Eigen::Success) return std::nullopt;
    return solver.eigenvectors().rightCols(count);
  }
  constexpr double kTolerance = 1e-10;
  constexpr Eigen::Index kIterationsMax = 1000;
  Spectra::DenseSymMatProd<double> product(gram);
  Spectra::SymEigsSolver<Spectra::DenseSymMatProd<double>> solver(product, count, std::min(size, 2 * count + 20));
  solver.init();
  solver.compute(Spectra::SortRule::LargestAlge, kIterationsMax, kTolerance);
  if (solver.info() != Spectra::CompInfo::Successful) return std::nullopt;
  return solver.eigenvectors();
}

FactoredMatrix factored(const RowMajor& a, const RowMajor& b) { return {{a.data(), a.data() + a.size()}, {b.data(), b.data() + b.size()}}; }

void check_rank_fits(const Weight& w, std::int64_t rank) {
  check(rank >= 1 && rank <= w.rows() && rank <= w.cols(), "expected a rank that the matrix can have");
}

}  // namespace

std::optional<FactoredMatrix> best_approximation(std::span<const float> w, std::int64_t rows, std::int64_t cols, std::int64_t rank) {
  const Weight weight(w.data(), rows, cols);
  check_rank_fits(weight, rank);
  const std::optional<Eigen::MatrixXd> found = largest_eigenvectors(gram_matrix(weight), rank);
  if (!found) return std::nullopt;
  const RowMajor basis = found->cast<float>();
  if (rows <= cols) return factored(basis.transpose() * weight, basis);
  return factored(basis.transpose(), weight * basis);
}

FactoredMatrix leading_qr(std::span<const float> w, std::int64_t rows, std::int64_t cols, std::int64_t rank) {
  const Weight weight(w.data(), rows, cols);
  check_rank_fits(weight, rank);
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(weight.leftCols(rank).cast<double>());
  const RowMajor q = (qr.householderQ() * Eigen::MatrixXd::Identity(rows, rank)).cast<float>();
  return factored(q.transpose() * weight, q);
}

}  // namespace slora
