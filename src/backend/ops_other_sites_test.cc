// Adapters of norms, of the embedding and of rows of the head, against their formulas in double precision.
#include <gmock/gmock.h>

#include <cmath>

#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

class OpsOtherSites : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    if (!backend_->adapter_format().has_other_sites) GTEST_SKIP() << "the backend has no such records";
  }

  [[nodiscard]] double tolerance() const { return backend_->product_dtype() == DType::f32 ? 2e-6 : 5e-3; }

  std::unique_ptr<Backend> backend_ = open(GetParam());
  Ops& ops_ = backend_->ops();
  Numbers numbers_{29};
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsOtherSites, ::testing::ValuesIn(ops_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

std::vector<double> normalised(const std::vector<float>& in, const std::vector<float>& gain) {
  std::vector<double> out(in.begin(), in.end());
  for (std::size_t begin = 0; begin < in.size(); begin += gain.size()) {
    double squares = 0;
    for (std::size_t i = 0; i < gain.size(); ++i) squares += out[begin + i] * out[begin + i];
    for (std::size_t i = 0; i < gain.size(); ++i) out[begin + i] *= gain[i] / std::sqrt(squares / static_cast<double>(gain.size()) + 1e-5);
  }
  return out;
}

// A row of a matrix.
template <class T>
std::vector<T> row_of(const std::vector<T>& values, std::int64_t row, std::int64_t cols) {
  return {values.begin() + row * cols, values.begin() + (row + 1) * cols};
}

TEST_P(OpsOtherSites, NormsTakeTheGainOfTheAdapterOverARow) {
  constexpr std::int32_t kRows = 7;
  for (const std::int32_t size : {5, 16, 48}) {
    const std::int32_t cols = 2 * size;
    const std::vector<float> x = numbers_.vector(kRows * cols), residual = numbers_.vector(kRows * cols);
    const std::vector<float> base = numbers_.vector(size), wide = numbers_.vector(cols);
    for (const Site site : {Site{0, SiteKind::query_norm}, Site{0, SiteKind::mlp_norm}}) {
      const std::int32_t count = site.kind == SiteKind::query_norm ? size : cols;
      MadeRecord first = make_record(numbers_, 0, count, 1, 0), second = first;
      first.gain = numbers_.vector(count);
      second.gain = numbers_.vector(count);
      const MadeAdapter a(*backend_, site, {first}, {}), b(*backend_, site, {second}, {});
      const MadeAdapter other(*backend_, kHeadSite, {make_record(numbers_, 0, 8, cols, 2)}, {});
      const MadeSegments batch(*backend_, {{1, 2, 0, 1.0f, &a.view()}, {3, 1, 0, 1.0f, &other.view()}, {5, 1, 0, 1.0f, &b.view()}}, 2);
      std::vector<float> got;
      std::vector<float> in = x;
      if (site.kind == SiteKind::query_norm) {
        const Matrix out(*backend_, backend_->activation_dtype(), kRows, cols, x);
        ops_.rms_norm(out, out, backend_->make_vector(base).view(), 1e-5f, batch, site);
        got = values_of(out);
      } else {
        const Matrix sum(*backend_, DType::f32, kRows, cols, residual), out(*backend_, backend_->product_dtype(), kRows, cols);
        ops_.add_rms_norm(out, sum, Matrix(*backend_, backend_->activation_dtype(), kRows, cols, x), backend_->make_vector(wide).view(),
                          1e-5f, batch, site);
        got = values_of(out);
        for (std::size_t i = 0; i < in.size(); ++i) in[i] += residual[i];
      }
      for (std::int32_t row = 0; row < kRows; ++row) {
        const std::vector<float>& of_base = site.kind == SiteKind::query_norm ? base : wide;
        const std::vector<float>& gain = row == 1 || row == 2 ? first.gain : row == 5 ? second.gain : of_base;
        EXPECT_LT(relative_error(row_of(got, row, cols), normalised(row_of(in, row, cols), gain)), tolerance()) << size << " row " << row;
      }
    }
  }
}

// A record of the embedding: rank ranks over the vocabulary, and rows of some tokens.
MadeRecord make_embedding(Numbers& numbers, std::int32_t vocabulary, std::int32_t hidden, std::int32_t rank,
                          std::vector<std::int32_t> ids) {
  MadeRecord record{0, hidden, vocabulary, rank, 0.5f, numbers.vector(rank * vocabulary), numbers.vector(rank * hidden), {}};
  record.row_cols = ids.empty() ? 0 : hidden;
  record.rows = numbers.vector(static_cast<std::int64_t>(ids.size()) * hidden);
  record.row_ids = std::move(ids);
  return record;
}

TEST_P(OpsOtherSites, TheEmbeddingHasReplacedRowsLowRankColumnsAndAGain) {
  constexpr std::int32_t kVocabulary = 70;
  for (const std::int32_t hidden : {6, 64}) {
    for (const std::int32_t rank : {0, 1, 3, 4}) {
      const MadeRecord listed = make_embedding(numbers_, kVocabulary, hidden, rank, {33, 2, 69});
      MadeRecord whole = make_embedding(numbers_, kVocabulary, hidden, rank, {});
      whole.row_cols = hidden;
      whole.rows = numbers_.vector(kVocabulary * hidden);
      if (rank == 3) whole.gain = numbers_.vector(hidden);
      const Cuts cuts{.tile_rows = 2, .tile_cols = 64};
      const MadeAdapter a(*backend_, kEmbeddingSite, {listed}, cuts), b(*backend_, kEmbeddingSite, {whole}, cuts);
      const MadeSegments batch(*backend_, {{1, 3, 0, 1.0f, &a.view()}, {5, 2, 0, 2.0f, &b.view()}}, 0);
      const std::vector<TokenId> ids = {33, 33, -2, 4, 33, 0, 69, 2};
      std::vector<TokenResult> drawn(2);
      drawn[1].id = 69;
      const std::vector<float> table = numbers_.vector(kVocabulary * hidden);
      const LinearWeight weight = pack(*backend_, kVocabulary, hidden, table, DType::bf16);
      const Matrix out(*backend_, backend_->activation_dtype(), std::ssize(ids), hidden);
      const OnDevice tokens(*backend_, ids);
      const OnDevice previous(*backend_, drawn);
      const TokenResult* const before = StepArray<TokenResult>(previous).device;
      ops_.embed(out, tokens, before, weight, 0);
      ops_.adapt_embedding(out, tokens, before, batch);
      const std::vector<float> got = values_of(out);
      for (std::int64_t row = 0; row < std::ssize(ids); ++row) {
        const TokenId id = ids[static_cast<std::size_t>(row)] < 0 ? 69 : ids[static_cast<std::size_t>(row)];
        const MadeRecord* const record = row >= 1 && row < 4 ? &listed : row == 5 || row == 6 ? &whole : nullptr;
        std::vector<float> start = row_of(table, id, hidden);
        if (record == &whole) start = row_of(whole.rows, id, hidden);
        const auto at = std::ranges::find(listed.row_ids, id);
        if (record == &listed && at != listed.row_ids.end()) start = row_of(listed.rows, at - listed.row_ids.begin(), hidden);
        std::vector<double> want(start.begin(), start.end());
        for (std::int32_t j = 0; record != nullptr && j < rank; ++j) {
          const double factor = (record == &whole ? 2.0 : 1.0) * 0.5 * record->a[static_cast<std::size_t>(j * kVocabulary + id)];
          for (std::int32_t n = 0; n < hidden; ++n)
            want[static_cast<std::size_t>(n)] += factor * record->b[static_cast<std::size_t>(j * hidden + n)];
        }
        for (std::size_t n = 0; record != nullptr && n < record->gain.size(); ++n) want[n] *= record->gain[n];
        EXPECT_LT(relative_error(row_of(got, row, hidden), want), tolerance()) << "rank " << rank << " row " << row;
        if (record != nullptr) continue;
        EXPECT_EQ(row_of(got, row, hidden), row_of(table, id, hidden)) << "rows without an adapter keep their bits";
      }
    }
  }
}

TEST_P(OpsOtherSites, RowsOfTheHeadTakeThePlaceOfTheBase) {
  constexpr std::int32_t kRows = 9, kOut = 150, kIn = 70;
  const std::vector<float> w = numbers_.vector(kOut * kIn), x = numbers_.vector(kRows * kIn);
  const LinearWeight weight = pack(*backend_, kOut, kIn, w, DType::bf16);
  MadeRecord listed = make_record(numbers_, 0, kOut, kIn, 0), whole = listed;
  listed.row_cols = whole.row_cols = kIn;
  listed.row_ids = {149, 0, 64};
  listed.rows = numbers_.vector(3 * kIn);
  whole.rows = numbers_.vector(kOut * kIn);
  const MadeRecord plain = make_record(numbers_, 0, kOut, kIn, 4);
  const Cuts cuts{.tile_rows = 7, .tile_cols = 64};
  const MadeAdapter a(*backend_, kHeadSite, {listed}, cuts), b(*backend_, kHeadSite, {whole}, {}), c(*backend_, kHeadSite, {plain}, cuts);
  const MadeSegments batch(*backend_, {{1, 3, 0, 1.0f, &a.view()}, {4, 1, 0, 1.0f, &c.view()}, {6, 2, 0, 1.0f, &b.view()}}, 4);
  const Matrix in(*backend_, backend_->product_dtype(), kRows, kIn, x);
  const Matrix z(*backend_, DType::f32, kRows, 4), y(*backend_, DType::f32, kRows, kOut), base(*backend_, DType::f32, kRows, kOut);
  ops_.shrink(z, in, batch, kHeadSite);
  ops_.linear(y, in, weight, z, batch, kHeadSite);
  ops_.linear(base, in, weight, {}, {}, kHeadSite);
  const std::vector<float> got = values_of(y), of_base = values_of(base);
  const auto product = [&](const std::vector<float>& rows, std::int64_t row, std::int64_t t) {
    double sum = 0;
    for (std::int32_t k = 0; k < kIn; ++k)
      sum += static_cast<double>(rows[static_cast<std::size_t>(row * kIn + k)]) * x[static_cast<std::size_t>(t * kIn + k)];
    return sum;
  };
  for (std::int64_t t = 0; t < kRows; ++t) {
    if (t == 4) continue;  // plain LoRA, which other tests compare
    std::vector<double> want;
    for (std::int32_t n = 0; n < kOut; ++n) {
      const auto at = std::ranges::find(listed.row_ids, n);
      const bool is_listed = t >= 1 && t < 4 && at != listed.row_ids.end();
      want.push_back(is_listed ? product(listed.rows, at - listed.row_ids.begin(), t) : product(t == 6 || t == 7 ? whole.rows : w, n, t));
      const auto at_row = static_cast<std::size_t>(t * kOut + n);
      if (t < 4 && !is_listed) {
        EXPECT_EQ(got[at_row], of_base[at_row]);
      }
    }
    EXPECT_LT(relative_error(row_of(got, t, kOut), want), tolerance()) << "row " << t;
    if (t == 0 || t == 5 || t == 8) {
      EXPECT_EQ(row_of(got, t, kOut), row_of(of_base, t, kOut)) << "rows without an adapter keep their bits";
    }
  }
}

}  // namespace
}  // namespace slora::testing
