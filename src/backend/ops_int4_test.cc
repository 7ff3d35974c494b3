// Ops over int4 weights against the same formula in double precision, with weights and activations rounded as they are kept.
#include <gmock/gmock.h>

#include <numeric>

#include "backend/testing/op_fixture.h"
#include "tensor/int4.h"

namespace slora::testing {
namespace {

constexpr Site kSite{0, SiteKind::qkv};
constexpr double kExact = 2e-6;  // fp32 sums of exact integers

class OpsInt4 : public ::testing::TestWithParam<Variant> {
 protected:
  std::unique_ptr<Backend> backend_ = open(GetParam());
  Ops& ops_ = backend_->ops();
  Numbers numbers_{31};

  // y = W x of `rows` rows.
  [[nodiscard]] std::vector<float> product(const LinearWeight& weight, const std::vector<float>& x, std::int64_t rows) {
    const Matrix y(*backend_, DType::f32, rows, weight.out);
    ops_.linear(y, Matrix(*backend_, DType::bf16, rows, weight.in, x), weight, {}, {}, kSite);
    return values_of(y);
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsInt4, ::testing::ValuesIn(int4_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

// Calls round(group) with each row's groups of `cols` columns.
template <class Round>
std::vector<float> rounded_groups(std::vector<float> values, std::int64_t cols, Round round) {
  for (std::size_t row = 0; row < values.size(); row += static_cast<std::size_t>(cols)) {
    for (std::int64_t begin = 0; begin < cols; begin += kInt4Group)
      round(std::span(values).subspan(row + static_cast<std::size_t>(begin), static_cast<std::size_t>(std::min(kInt4Group, cols - begin))));
  }
  return values;
}

std::vector<float> kept_weights(const std::vector<float>& values, std::int64_t cols) {
  return rounded_groups(values, cols, [](std::span<float> group) {
    const Int4Group kept = round_to_int4(group);
    for (std::size_t i = 0; i < group.size(); ++i) group[i] = kept.value(i);
  });
}

// 255 levels, the outermost at the group's largest magnitude.
std::vector<float> kept_activations(const std::vector<float>& values, std::int64_t cols) {
  return rounded_groups(values, cols, [](std::span<float> group) {
    float largest = 0;
    for (const float value : group) largest = std::max(largest, std::abs(value));
    if (largest == 0) return;
    for (float& value : group) value = largest / 127.0f * std::nearbyint(value * (127.0f / largest));
  });
}

// W x of one row. The sums are of the values themselves, not of their levels.
double dot(const float* w, const float* x, std::int64_t count) {
  double sum = 0;
  for (std::int64_t k = 0; k < count; ++k) sum += static_cast<double>(w[k]) * x[k];
  return sum;
}

TEST_P(OpsInt4, LinearIsTheProductOfRoundedWeightsAndActivationsForEveryShapeAndFileType) {
  struct Shape {
    std::int64_t rows, out, in;
  };
  const std::vector<Shape> shapes = {{1, 1, 1},     {1, 33, 7},     {1, 161, 896}, {2, 32, 64},   {2, 257, 127},
                                     {3, 128, 129}, {4, 130, 33},   {5, 31, 300},  {6, 257, 65},  {7, 64, 1},
                                     {7, 40, 2048}, {8, 96, 128},   {13, 40, 897}, {14, 129, 63}, {15, 16, 16},
                                     {16, 50, 384}, {29, 100, 258}, {64, 161, 80}, {3, 70, 4864}, {9, 48, 1663}};
  for (const Shape& shape : shapes) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      const std::vector<float> w = numbers_.vector(shape.out * shape.in);
      const std::vector<float> x = numbers_.vector(shape.rows * shape.in);
      LinearWeight weight = pack(*backend_, shape.out, shape.in, w, dtype);
      const std::vector<float> bias = numbers_.vector(dtype == DType::f16 ? 0 : shape.out);
      weight.bias = backend_->make_vector(bias);
      const std::vector<float> kept_w = kept_weights(w, shape.in), kept_x = kept_activations(x, shape.in);
      std::vector<double> want;
      for (std::int64_t t = 0; t < shape.rows; ++t) {
        for (std::int64_t n = 0; n < shape.out; ++n) {
          want.push_back((bias.empty() ? 0 : bias[static_cast<std::size_t>(n)]) +
                         dot(kept_w.data() + n * shape.in, kept_x.data() + t * shape.in, shape.in));
        }
      }
      EXPECT_LT(relative_error(product(weight, x, shape.rows), want), kExact)
          << shape.rows << " x " << shape.out << " x " << shape.in << " from " << name_of(dtype);
    }
  }
}

TEST_P(OpsInt4, ARowOfALongProductIsTheSameInBatchesOfEverySize) {
  constexpr std::int64_t kRows = 31, kOut = 161, kIn = 2100;
  const LinearWeight weight = pack(*backend_, kOut, kIn, numbers_.vector(kOut * kIn), DType::bf16);
  const Matrix x(*backend_, DType::bf16, kRows, kIn, numbers_.vector(kRows * kIn));
  const Matrix whole(*backend_, DType::f32, kRows, kOut);
  ops_.linear(whole, x, weight, {}, {}, kSite);
  for (std::int64_t rows = 1; rows < kRows; ++rows) {
    const Matrix part(*backend_, DType::f32, rows, kOut);
    ops_.linear(part, x.tensor().rows_from(kRows - rows, rows), weight, {}, {}, kSite);
    EXPECT_TRUE(same_bits(part, whole.tensor().rows_from(kRows - rows, rows))) << rows << " rows";
  }
}

TEST_P(OpsInt4, EmbedReadsRowsOfThePackedTable) {
  for (const std::int64_t hidden : {1, 17, 64, 129, 896}) {
    const std::vector<float> table = numbers_.vector(70 * hidden);
    const LinearWeight weight = pack(*backend_, 70, hidden, table, DType::bf16);
    const std::vector<float> want = kept_weights(table, hidden);
    const std::vector<TokenId> ids = {69, 0, 33, 32, 33};
    const Matrix out(*backend_, DType::f32, 5, hidden);
    ops_.embed(out, OnDevice(*backend_, ids), nullptr, weight, 0);
    const std::vector<float> got = values_of(out);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      for (std::int64_t k = 0; k < hidden; ++k) {
        EXPECT_EQ(got[i * static_cast<std::size_t>(hidden) + static_cast<std::size_t>(k)],
                  want[static_cast<std::size_t>(ids[i] * hidden + k)]);
      }
    }
  }
}

TEST_P(OpsInt4, WhatIsNoNumberStaysNone) {
  std::vector<float> w = numbers_.vector(40 * 300), x = numbers_.vector(3 * 300);
  w[5 * 300 + 290] = INFINITY;
  w[7 * 300] = -NAN;
  x[300 + 131] = NAN;
  const std::vector<float> y = product(pack(*backend_, 40, 300, w, DType::f32), x, 3);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const bool spoilt = i / 40 == 1 || i % 40 == 5 || i % 40 == 7;
    EXPECT_EQ(std::isnan(y[i]), spoilt) << "row " << i / 40 << ", output " << i % 40;
  }
}

// Neither sums of the largest levels and bytes nor scales that f16 has no normal numbers for.
TEST_P(OpsInt4, LargeAndSmallNumbersKeepTheirProducts) {
  constexpr std::int64_t kIn = 8192;
  std::vector<float> w(static_cast<std::size_t>(33 * kIn), 1000.0f);
  for (std::size_t i = 0; i < w.size(); i += kInt4Group) w[i] = -500.0f;
  EXPECT_THAT(product(pack(*backend_, 33, kIn, w, DType::f32), std::vector<float>(kIn, 1.0f), 1),
              ::testing::Each(::testing::FloatNear(kIn / 32.0f * (31 * 1000 - 500), 8)));
  std::vector<float> small(static_cast<std::size_t>(33 * kIn));
  for (std::size_t i = 0; i < small.size(); ++i) small[i] = static_cast<float>(i % 16) * 0x1p-20f;
  EXPECT_THAT(product(pack(*backend_, 33, kIn, small, DType::f32), std::vector<float>(kIn, 1.0f), 1),
              ::testing::Each(::testing::FloatNear(kIn / 16.0f * 120 * 0x1p-20f, 1e-5f)));
}

// As Q4_0 has them. `cpu` counts what it keeps.
TEST(Int4Weights, OfAFileInFourBitsAreItsNumbersToTheBit) {
  constexpr std::int64_t kOut = 41, kIn = 96;
  const auto backend = *create_backend("cpu", {.threads = 1, .weights = WeightStorage::int4});
  Numbers numbers(41);
  std::vector<float> w = numbers.vector(kOut * kIn);
  for (std::size_t begin = 0; begin < w.size(); begin += kInt4Group) {
    const float scale = to_float(to_float16(0.05f + std::abs(w[begin])));
    for (std::size_t i = begin; i < begin + kInt4Group; ++i) w[i] = scale * (std::nearbyint(6 * w[i]) - 1);
  }
  std::vector<TokenId> ids(kOut);
  std::iota(ids.begin(), ids.end(), 0);
  const Matrix out(*backend, DType::f32, kOut, kIn);
  backend->ops().embed(out, OnDevice(*backend, ids), nullptr, pack(*backend, kOut, kIn, w, DType::f32), 0);
  EXPECT_EQ(values_of(out), w);
  EXPECT_EQ(backend->int4_count().kept, kOut * kIn);
  EXPECT_EQ(backend->int4_count().all, kOut * kIn);
  const LinearWeight other = pack(*backend, kOut, kIn, numbers.vector(kOut * kIn), DType::f32);
  EXPECT_EQ(backend->int4_count().kept, kOut * kIn);
  EXPECT_EQ(backend->int4_count().all, 2 * kOut * kIn);
}

TEST(Int4Weights, TakeAThirdOfTheMemoryExceptForTables) {
  const auto backend_of = [](WeightStorage weights) { return *create_backend("cpu", {.threads = 1, .weights = weights}); };
  const auto four_bits = backend_of(WeightStorage::int4), bytes = backend_of(WeightStorage::int8), bf16 = backend_of(WeightStorage::bf16);
  EXPECT_LT(static_cast<double>(four_bits->linear_bytes(9728, 896)), 0.32 * static_cast<double>(bf16->linear_bytes(9728, 896)));
  EXPECT_EQ(four_bits->table_bytes(9728, 896), bytes->table_bytes(9728, 896));
  EXPECT_EQ(four_bits->make_table(64, 32).storage, WeightStorage::int8);
}

// The plain loops that the others are compared with: weights as they are kept, activations in fp32.
TEST(Int4Weights, OfTheReferenceBackendAreTheSameValues) {
  const auto backend = *create_backend("reference", {.weights = WeightStorage::int4});
  Numbers numbers(37);
  const std::vector<float> w = numbers.vector(9 * 70), x = numbers.vector(70), kept = kept_weights(w, 70);
  const LinearWeight weight = pack(*backend, 9, 70, w, DType::bf16);
  const Matrix y(*backend, DType::f32, 1, 9);
  backend->ops().linear(y, Matrix(*backend, DType::f32, 1, 70, x), weight, {}, {}, kSite);
  std::vector<double> want;
  for (std::int64_t n = 0; n < 9; ++n) want.push_back(dot(kept.data() + n * 70, x.data(), 70));
  EXPECT_LT(relative_error(values_of(y), want), kExact);
}

}  // namespace
}  // namespace slora::testing
