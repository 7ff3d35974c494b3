// Ops over int8 weights against the same formula in double precision, with weights and activations rounded as they are stored.
#include <gmock/gmock.h>

#include "backend/testing/op_fixture.h"
#include "kernels/cpu/int8_weight.h"

namespace slora::testing {
namespace {

constexpr Site kSite{0, SiteKind::qkv};
constexpr double kExact = 2e-6;  // fp32 sums of exact integers
constexpr std::int64_t kGroup = cpu::Int8Weight::kGroup;

class OpsInt8 : public ::testing::TestWithParam<Variant> {
 protected:
  std::unique_ptr<Backend> backend_ = open(GetParam());
  Ops& ops_ = backend_->ops();
  Numbers numbers_{29};

  // y = W x of `rows` rows.
  [[nodiscard]] std::vector<float> product(const LinearWeight& weight, const std::vector<float>& x, std::int64_t rows) {
    const Matrix y(*backend_, DType::f32, rows, weight.out);
    ops_.linear(y, Matrix(*backend_, DType::bf16, rows, weight.in, x), weight, {}, {}, kSite);
    return values_of(y);
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsInt8, ::testing::ValuesIn(int8_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

float rounded_up_to_bfloat16(float value) {
  float out = to_float(to_bfloat16(value));
  if (out < value) out = std::bit_cast<float>(std::bit_cast<std::uint32_t>(out) + 0x10000u);
  return out;
}

enum class Kept { weights, activations };

// What keeps blocks of a group about equally large, although a longer one grows more by its matrix.
float block_gain(std::int64_t length) { return std::exp2(std::floor(0.5f * std::log2(static_cast<float>(kGroup / length)))); }

// Multiplies blocks of a power of two, as long as what is left allows, by Hadamard matrices, pairs of neighbours first, and by their gain.
void rotate(float* values, std::int64_t count) {
  while (count > 0) {
    const auto length = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(count)));
    for (std::int64_t stride = 1; stride < length; stride *= 2) {
      for (std::int64_t i = 0; i < length; ++i) {
        if (i / stride % 2 != 0) continue;
        const float lower = values[i], upper = values[i + stride];
        values[i] = lower + upper;
        values[i + stride] = lower - upper;
      }
    }
    for (std::int64_t i = 0; i < length; ++i) values[i] *= block_gain(length);
    values += length;
    count -= length;
  }
}

// What two rotations multiply input `index` of a group by: the length of its block and twice the gain.
float factor_of_two(std::int64_t index, std::int64_t count) {
  auto length = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(count)));
  for (; index >= length; length = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(count)))) {
    index -= length;
    count -= length;
  }
  return static_cast<float>(length) * block_gain(length) * block_gain(length);
}

// Rows [., cols], every group of a row rotated and rounded to 255 levels. The scale of weights is a bf16. A product of the two is one of W
// and x; twice rotated weights are the weights.
std::vector<double> rounded(const std::vector<float>& values, std::int64_t cols, Kept kept) {
  std::vector<double> out(values.size());
  for (std::size_t row = 0; row < values.size(); row += static_cast<std::size_t>(cols)) {
    for (std::int64_t begin = 0; begin < cols; begin += kGroup) {
      const std::int64_t count = std::min(kGroup, cols - begin);
      std::vector<float> group(values.data() + row + begin, values.data() + row + begin + count);
      rotate(group.data(), count);
      float largest = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        float& value = group[static_cast<std::size_t>(i)];
        if (kept == Kept::weights) value /= factor_of_two(i, count);
        largest = std::max(largest, std::abs(value));
      }
      if (largest == 0) continue;
      const float scale = kept == Kept::weights ? rounded_up_to_bfloat16(largest / 127.0f) : largest / 127.0f;
      const float inverse = kept == Kept::weights ? 1.0f / scale : 127.0f / largest;
      for (std::int64_t i = 0; i < count; ++i) {
        out[row + static_cast<std::size_t>(begin + i)] =
            static_cast<double>(scale) * std::nearbyint(group[static_cast<std::size_t>(i)] * inverse);
      }
    }
  }
  return out;
}

TEST_P(OpsInt8, LinearIsTheProductOfRoundedWeightsAndActivationsForEveryShapeAndFileType) {
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
      const std::vector<double> wide_w = rounded(w, shape.in, Kept::weights), wide_x = rounded(x, shape.in, Kept::activations);
      std::vector<double> want;
      for (std::int64_t t = 0; t < shape.rows; ++t) {
        for (std::int64_t n = 0; n < shape.out; ++n) {
          double sum = bias.empty() ? 0 : bias[static_cast<std::size_t>(n)];
          for (std::int64_t k = 0; k < shape.in; ++k) {
            sum += wide_w[static_cast<std::size_t>(n * shape.in + k)] * wide_x[static_cast<std::size_t>(t * shape.in + k)];
          }
          want.push_back(sum);
        }
      }
      EXPECT_LT(relative_error(product(weight, x, shape.rows), want), kExact)
          << shape.rows << " x " << shape.out << " x " << shape.in << " from " << name_of(dtype);
    }
  }
}

TEST_P(OpsInt8, ARowOfALongProductIsTheSameInBatchesOfEverySize) {
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

// A single number of a group is the same everywhere in it once it is rotated.
TEST_P(OpsInt8, SumsOfTheLargestNumbersDoNotOverflow) {
  constexpr std::int64_t kIn = 8192;
  std::vector<float> ones(static_cast<std::size_t>(33 * kIn), 0.0f);
  for (std::size_t i = 0; i < ones.size(); i += kGroup) ones[i] = 1.0f;
  const LinearWeight weight = pack(*backend_, 33, kIn, ones, DType::f32);
  const float scale = rounded_up_to_bfloat16(1.0f / kGroup / 127.0f);
  const float kept = scale * std::nearbyint(1.0f / kGroup / scale);
  for (const float sign : {1.0f, -1.0f}) {
    std::vector<float> x(kIn, 0.0f);
    for (std::size_t i = 0; i < x.size(); i += kGroup) x[i] = sign;
    EXPECT_THAT(product(weight, x, 1), ::testing::Each(::testing::FloatNear(sign * kept * kIn, 1e-4f)));
  }
}

// What rounding to levels between the largest numbers would lose in the others: all of it.
TEST_P(OpsInt8, OneLargeInputLeavesTheOthersTheirAccuracy) {
  std::vector<float> x(kGroup, 0.01f);
  x[17] = 20.0f;
  std::vector<float> w(static_cast<std::size_t>(kGroup), 1.0f);
  w[17] = 0.0f;
  const float want = to_float(to_bfloat16(0.01f)) * (kGroup - 1);
  EXPECT_NEAR(product(pack(*backend_, 1, kGroup, w, DType::f32), x, 1).front(), want, 0.1 * want);
}

TEST_P(OpsInt8, EmbedReadsRowsOfThePackedTableAsProductsDo) {
  for (const std::int64_t hidden : {1, 17, 64, 128, 129, 896}) {
    const std::vector<float> table = numbers_.vector(70 * hidden);
    const LinearWeight weight = pack(*backend_, 70, hidden, table, DType::bf16);
    std::vector<float> want;
    for (const double value : rounded(table, hidden, Kept::weights)) want.push_back(static_cast<float>(value));
    for (std::size_t row = 0; row < want.size(); row += static_cast<std::size_t>(hidden)) {
      for (std::int64_t begin = 0; begin < hidden; begin += kGroup) rotate(want.data() + row + begin, std::min(kGroup, hidden - begin));
    }
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

TEST_P(OpsInt8, WhatIsNoNumberStaysNone) {
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

TEST_P(OpsInt8, NumbersNearZeroAreZero) {
  std::vector<float> w(32 * 128, 1e-38f), x(128, 1e-38f);
  const LinearWeight tiny = pack(*backend_, 32, 128, w, DType::f32);
  EXPECT_THAT(product(tiny, std::vector<float>(128, 1.0f), 1), ::testing::Each(0.0f));
  const LinearWeight ones = pack(*backend_, 32, 128, std::vector<float>(32 * 128, 1.0f), DType::f32);
  EXPECT_THAT(product(ones, x, 1), ::testing::Each(0.0f));
}

TEST_P(OpsInt8, RecordsAddOntoTheProductInSixteenBits) {
  constexpr std::int32_t kRows = 9, kOut = 70, kIn = 200;
  LinearWeight weight = pack(*backend_, kOut, kIn, std::vector<float>(kOut * kIn, 0.0f), DType::bf16);
  const std::vector<float> bias = numbers_.vector(kOut);
  weight.bias = backend_->make_vector(bias);
  const std::vector<float> x = numbers_.vector(kRows * kIn);
  const MadeRecord record = make_record(numbers_, 10, 45, kIn, 6);
  const MadeAdapter adapter(*backend_, kSite, {record}, {});
  const std::vector<AdapterSegment> segments = {{2, 5, 0, 1.0f, &adapter.view()}};
  const MadeSegments batch(*backend_, segments, 6);
  std::vector<double> want;
  for (std::int32_t t = 0; t < kRows; ++t) {
    for (std::int32_t n = 0; n < kOut; ++n) {
      double y = bias[static_cast<std::size_t>(n)];
      for (std::int32_t j = 0; j < record.rank && t >= 2 && t < 7 && n >= 10 && n < 55; ++j) {
        double z = 0;
        for (std::int32_t k = 0; k < kIn; ++k)
          z += static_cast<double>(record.a[static_cast<std::size_t>(j * kIn + k)]) * x[static_cast<std::size_t>(t * kIn + k)];
        y += record.scale * z * record.b[static_cast<std::size_t>(j * record.out + n - 10)];
      }
      want.push_back(y);
    }
  }
  const Matrix in(*backend_, DType::bf16, kRows, kIn, x), z(*backend_, DType::f32, kRows, 6), y(*backend_, DType::f32, kRows, kOut);
  ops_.shrink(z, in, batch, kSite);
  ops_.linear(y, in, weight, z, batch, kSite);
  EXPECT_LT(relative_error(values_of(y), want), 5e-3);  // z is rounded to bf16
}

TEST(Int8Weights, TakeHalfTheMemoryAndAreRefusedByTheReferenceBackend) {
  const auto bytes = [](WeightStorage weights) {
    return (*create_backend("cpu", {.threads = 1, .weights = weights}))->linear_bytes(9728, 896);
  };
  EXPECT_LT(static_cast<double>(bytes(WeightStorage::int8)), 0.51 * static_cast<double>(bytes(WeightStorage::bf16)));
  const auto refused = create_backend("reference", {.weights = WeightStorage::int8});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, "E_WEIGHTS");
}

}  // namespace
}  // namespace slora::testing
