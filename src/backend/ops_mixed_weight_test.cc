// Ops over weights whose last rows are kept in more bits: each output's bits are those of a weight that is kept so as a whole.
#include <gmock/gmock.h>

#include <functional>
#include <numeric>

#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

constexpr Site kSite{0, SiteKind::qkv};
constexpr std::int32_t kOut = 161, kIn = 300, kFineRows = 70;
constexpr std::int32_t kFineBegin = 64;  // the multiple of 32 below kOut - kFineRows

std::vector<Variant> mixed_variants() {
  std::vector<Variant> variants = int4_variants();
  std::ranges::copy(int8_variants(), std::back_inserter(variants));
  return variants;
}

LinearWeight packed(Backend& backend, LinearWeight weight, const std::vector<float>& values) {
  std::vector<std::byte> stored(values.size() * sizeof(Bfloat16));
  convert_from_float(stored.data(), DType::bf16, values.data(), values.size());
  const Tensor rows{stored.data(), DType::bf16, weight.out, weight.in, weight.in};
  backend.pack_rows(weight, 40, rows.rows_from(40, weight.out - 40));  // both parts at once
  backend.pack_rows(weight, 0, rows.rows_from(0, 40));
  return weight;
}

class OpsMixedWeight : public ::testing::TestWithParam<Variant> {
 protected:
  OpsMixedWeight() {
    Variant finer = GetParam();
    finer.weights = finer.weights == WeightStorage::int4 ? WeightStorage::int8 : WeightStorage::bf16;
    fine_backend_ = open(finer);
    const std::vector<float> w = numbers_.vector(kOut * kIn);
    mixed_ = packed(*backend_, backend_->make_mixed(kOut, kIn, kFineRows), w);
    coarse_ = packed(*backend_, backend_->make_linear(kOut, kIn), w);
    fine_ = packed(*fine_backend_, fine_backend_->make_linear(kOut, kIn), w);
    bias_ = numbers_.vector(kOut);
    for (LinearWeight* weight : {&mixed_, &coarse_, &fine_}) weight->bias = backend_->make_vector(bias_);
  }

  // `run(backend, weight)` gives [., kOut]: of the mixed weight columns of both others.
  void expect_columns_of_both(const std::function<std::vector<float>(Backend&, const LinearWeight&)>& run) {
    const std::vector<float> mixed = run(*backend_, mixed_), coarse = run(*backend_, coarse_), fine = run(*fine_backend_, fine_);
    ASSERT_EQ(mixed.size() % kOut, 0u);
    for (std::size_t i = 0; i < mixed.size(); ++i) {
      const bool is_fine = i % kOut >= kFineBegin;
      ASSERT_EQ(mixed[i], is_fine ? fine[i] : coarse[i]) << "row " << i / kOut << ", output " << i % kOut;
    }
    EXPECT_NE(coarse, fine) << "two storages were asked for";
  }

  Numbers numbers_{43};
  std::unique_ptr<Backend> backend_ = open(GetParam());
  std::unique_ptr<Backend> fine_backend_;
  LinearWeight mixed_, coarse_, fine_;
  std::vector<float> bias_;
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsMixedWeight, ::testing::ValuesIn(mixed_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

TEST_P(OpsMixedWeight, ProductsAreThoseOfEachPartInBatchesOfEverySize) {
  EXPECT_EQ(mixed_.fine_rows, kOut - kFineBegin);
  for (const std::int64_t rows : {1, 2, 5, 9, 31}) {
    const std::vector<float> x = numbers_.vector(rows * kIn);
    expect_columns_of_both([&](Backend& backend, const LinearWeight& weight) {
      const Matrix y(backend, DType::f32, rows, kOut);
      backend.ops().linear(y, Matrix(backend, DType::bf16, rows, kIn, x), weight, {}, {}, kSite);
      return values_of(y);
    });
  }
}

// Of slices that lie on both sides of where the fine rows begin: what is added in the product and after it, and products with inputs of
// their own.
TEST_P(OpsMixedWeight, RecordsAddWhatTheyAddToEachPart) {
  constexpr std::int32_t kRank = 4;
  MadeRecord plain = make_record(numbers_, 40, 60, kIn, kRank), scaled = plain, hadamard = plain;
  scaled.input_gain = numbers_.vector(kIn);
  hadamard.low_rank = LowRank::hadamard;
  for (const MadeRecord& record : {plain, scaled, hadamard}) {
    for (const std::int32_t rows : {3, 40}) {
      const std::vector<float> x = numbers_.vector(rows * kIn);
      expect_columns_of_both([&](Backend& backend, const LinearWeight& weight) {
        const MadeAdapter adapter(backend, kSite, {record}, {});
        const MadeSegments batch(backend, {{1, rows - 1, 0, 0.5f, &adapter.view()}}, kRank);
        const Matrix in(backend, DType::bf16, rows, kIn, x), z(backend, DType::f32, rows, kRank), y(backend, DType::f32, rows, kOut);
        backend.ops().shrink(z, in, batch, kSite);
        backend.ops().linear(y, in, weight, z, batch, kSite);
        return values_of(y);
      });
    }
  }
}

TEST_P(OpsMixedWeight, EmbedReadsRowsOfEachPart) {
  std::vector<TokenId> ids(kOut);
  std::iota(ids.begin(), ids.end(), 0);
  const auto rows_of = [&](Backend& backend, const LinearWeight& weight) {
    const Matrix out(backend, DType::f32, kOut, kIn);
    backend.ops().embed(out, OnDevice(backend, ids), nullptr, weight, 0);
    return values_of(out);
  };
  std::vector<float> want = rows_of(*backend_, coarse_);
  const std::vector<float> fine = rows_of(*fine_backend_, fine_);
  std::copy(fine.begin() + kFineBegin * kIn, fine.end(), want.begin() + kFineBegin * kIn);
  EXPECT_EQ(rows_of(*backend_, mixed_), want);
}

TEST_P(OpsMixedWeight, TakesTheBytesOfBothParts) {
  EXPECT_EQ(backend_->mixed_bytes(kOut, kIn, kFineRows), mixed_.packed.bytes());
  EXPECT_EQ(mixed_.packed.bytes(), backend_->linear_bytes(kFineBegin, kIn) + fine_backend_->linear_bytes(kOut - kFineBegin, kIn));
  EXPECT_EQ(backend_->mixed_bytes(kOut, kIn, 0), backend_->linear_bytes(kOut, kIn));
}

}  // namespace
}  // namespace slora::testing
