// Every op of every backend against the same formula in double precision.
#include <gmock/gmock.h>

#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

constexpr Site kSite{0, SiteKind::qkv};
constexpr double kExact = 2e-6;    // fp32 sums of exact inputs
constexpr double kRounded = 5e-3;  // one rounding to bf16 on the way

class OpsConformance : public ::testing::TestWithParam<Variant> {
 protected:
  std::unique_ptr<Backend> backend_ = open(GetParam());
  Ops& ops_ = backend_->ops();
  Numbers numbers_{17};

  [[nodiscard]] double activation_tolerance() const { return backend_->activation_dtype() == DType::f32 ? kExact : kRounded; }
  [[nodiscard]] double product_tolerance() const { return backend_->product_dtype() == DType::f32 ? kExact : kRounded; }
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsConformance, ::testing::ValuesIn(ops_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

std::vector<double> product(const std::vector<float>& w, const std::vector<float>& x, std::int64_t rows, std::int64_t out,
                            std::int64_t in) {
  std::vector<double> y(static_cast<std::size_t>(rows * out));
  for (std::int64_t t = 0; t < rows; ++t) {
    for (std::int64_t n = 0; n < out; ++n) {
      double sum = 0;
      for (std::int64_t k = 0; k < in; ++k)
        sum += static_cast<double>(w[static_cast<std::size_t>(n * in + k)]) * x[static_cast<std::size_t>(t * in + k)];
      y[static_cast<std::size_t>(t * out + n)] = sum;
    }
  }
  return y;
}

TEST_P(OpsConformance, LinearIsTheProductPlusBiasForEveryShapeAndFileType) {
  struct Shape {
    std::int64_t rows, out, in;
  };
  const std::vector<Shape> shapes = {{1, 1, 1},  {1, 33, 7},   {2, 32, 64},  {3, 128, 96},  {4, 130, 33}, {5, 31, 31},    {6, 257, 65},
                                     {7, 64, 1}, {8, 96, 128}, {13, 40, 17}, {14, 129, 63}, {15, 16, 16}, {29, 100, 129}, {64, 161, 80}};
  for (const Shape& shape : shapes) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      const std::vector<float> w = numbers_.vector(shape.out * shape.in);
      const std::vector<float> x = numbers_.vector(shape.rows * shape.in);
      LinearWeight weight = pack(*backend_, shape.out, shape.in, w, dtype);
      const std::vector<float> bias = numbers_.vector(dtype == DType::f16 ? 0 : shape.out);
      weight.bias = backend_->make_vector(bias);
      std::vector<double> want = product(w, x, shape.rows, shape.out, shape.in);
      for (std::size_t i = 0; i < want.size() && !bias.empty(); ++i) want[i] += bias[i % bias.size()];
      const Matrix y(*backend_, backend_->activation_dtype(), shape.rows, shape.out);
      ops_.linear(y, Matrix(*backend_, backend_->product_dtype(), shape.rows, shape.in, x), weight, {}, {}, kSite);
      EXPECT_LT(relative_error(values_of(y), want), activation_tolerance()) << shape.rows << " x " << shape.out << " x " << shape.in;
    }
  }
}

TEST_P(OpsConformance, ShrinkAndLinearApplyRecordsOfMixedRanksToTheirRowsAndSlices) {
  constexpr std::int32_t kRows = 11, kOut = 150, kIn = 71;
  const std::vector<float> w = numbers_.vector(kOut * kIn);
  const std::vector<float> x = numbers_.vector(kRows * kIn);
  LinearWeight weight = pack(*backend_, kOut, kIn, w, DType::bf16);
  const std::vector<float> bias = numbers_.vector(kOut);
  weight.bias = backend_->make_vector(bias);

  std::vector<MadeRecord> first = {make_record(numbers_, 0, 80, kIn, 5), make_record(numbers_, 80, 33, kIn, 16)};
  std::vector<MadeRecord> second = {make_record(numbers_, 113, 37, kIn, 1)};
  first[1].bias = numbers_.vector(33);
  second[0].bias = numbers_.vector(37);
  second[0].bias_mode = BiasMode::replace;
  second.push_back(make_record(numbers_, 0, 80, kIn, 0));
  second[1].bias = numbers_.vector(80);
  const MadeAdapter a(*backend_, kSite, first, {.tile_rows = 3, .tile_cols = 64});
  const MadeAdapter b(*backend_, kSite, second, {});
  const std::vector<AdapterSegment> segments = {{1, 6, 0, 1.0f, &a.view()}, {8, 3, 0, 1.0f, &b.view()}, {4, 1, 21, 0.25f, &a.view()}};
  const MadeSegments batch(*backend_, segments, 42);

  std::vector<double> want = product(w, x, kRows, kOut, kIn);
  for (std::size_t i = 0; i < want.size(); ++i) want[i] += bias[i % kOut];
  const auto apply = [&](const std::vector<MadeRecord>& records, int row, double factor) {
    const std::vector<float> row_x(x.begin() + row * kIn, x.begin() + (row + 1) * kIn);
    for (const MadeRecord& record : records) {
      const std::vector<double> z = product(record.a, row_x, 1, record.rank, kIn);
      for (std::int32_t n = 0; n < record.out; ++n) {
        double& y = want[static_cast<std::size_t>(row * kOut + record.slice_begin + n)];
        for (std::int32_t j = 0; j < record.rank; ++j) {
          y += factor * record.scale * z[static_cast<std::size_t>(j)] * record.b[static_cast<std::size_t>(j * record.out + n)];
        }
        if (record.bias.empty()) continue;
        if (record.bias_mode == BiasMode::replace) y -= bias[static_cast<std::size_t>(record.slice_begin + n)];
        y += factor * record.bias[static_cast<std::size_t>(n)];
      }
    }
  };
  for (int row = 1; row < 7; ++row) apply(first, row, 1.0);
  for (int row = 8; row < 11; ++row) apply(second, row, 1.0);
  apply(first, 4, 0.25);

  const Matrix in(*backend_, backend_->product_dtype(), kRows, kIn, x);
  const Matrix z(*backend_, DType::f32, kRows, 42);
  const Matrix y(*backend_, backend_->activation_dtype(), kRows, kOut);
  ops_.shrink(z, in, batch, kSite);
  ops_.linear(y, in, weight, z, batch, kSite);
  EXPECT_LT(relative_error(values_of(y), want), product_tolerance());

  const Matrix base(*backend_, backend_->activation_dtype(), kRows, kOut);
  ops_.linear(base, in, weight, {}, {}, kSite);
  for (const int row : {0, 7}) {
    EXPECT_TRUE(same_bits(y.tensor().rows_from(row, 1), base.tensor().rows_from(row, 1))) << "rows without a segment get exactly the base";
  }
}

TEST_P(OpsConformance, ARecordMayBringTheOnlyBias) {
  const LinearWeight weight = pack(*backend_, 40, 16, std::vector<float>(40 * 16, 0.0f), DType::f32);
  MadeRecord record = make_record(numbers_, 3, 35, 16, 0);
  record.bias = numbers_.vector(35);
  for (const BiasMode mode : {BiasMode::add, BiasMode::replace}) {
    record.bias_mode = mode;
    const MadeAdapter adapter(*backend_, kSite, {record}, {});
    const std::vector<AdapterSegment> segments = {{1, 1, 0, 1.0f, &adapter.view()}};
    const Matrix y(*backend_, backend_->activation_dtype(), 2, 40);
    ops_.linear(y, Matrix(*backend_, backend_->product_dtype(), 2, 16, numbers_.vector(32)), weight, {},
                MadeSegments(*backend_, segments, 0), kSite);
    std::vector<float> want(80, 0.0f);
    std::copy(record.bias.begin(), record.bias.end(), want.begin() + 43);
    EXPECT_EQ(values_of(y), want);
  }
}

TEST_P(OpsConformance, ShrinkLeavesTheRestOfZAsItIs) {
  const MadeAdapter adapter(*backend_, kSite, {make_record(numbers_, 0, 8, 40, 3)}, {});
  const std::vector<AdapterSegment> segments = {{1, 1, 2, 1.0f, &adapter.view()}};
  const Matrix z(*backend_, DType::f32, 3, 6, std::vector<float>(18, 7.0f));
  ops_.shrink(z, Matrix(*backend_, backend_->product_dtype(), 3, 40, numbers_.vector(120)), MadeSegments(*backend_, segments, 6), kSite);
  const std::vector<float> values = values_of(z);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool written = i >= 8 && i < 11;
    EXPECT_EQ(values[i] == 7.0f, !written) << i;
  }
}

TEST_P(OpsConformance, RmsNormNormalisesEveryGroupOfColumns) {
  for (const std::int64_t size : {1, 7, 16, 64, 80, 99}) {
    const std::int64_t cols = 3 * size;
    const std::vector<float> x = numbers_.vector(5 * cols);
    const std::vector<float> residual = numbers_.vector(5 * cols);
    const std::vector<float> gain = numbers_.vector(size);
    const std::vector<float> wide_gain = numbers_.vector(cols);
    const auto normalised = [&](const std::vector<double>& in, const std::vector<float>& weight) {
      std::vector<double> out = in;
      for (std::size_t begin = 0; begin < in.size(); begin += weight.size()) {
        double squares = 0;
        for (std::size_t i = 0; i < weight.size(); ++i) squares += in[begin + i] * in[begin + i];
        for (std::size_t i = 0; i < weight.size(); ++i) {
          out[begin + i] *= weight[i] / std::sqrt(squares / static_cast<double>(weight.size()) + 1e-5);
        }
      }
      return out;
    };
    const Matrix in(*backend_, backend_->activation_dtype(), 5, cols, x);
    ops_.rms_norm(in, in, backend_->make_vector(gain).view(), 1e-5f, {}, kOutputNormSite);
    EXPECT_LT(relative_error(values_of(in), normalised({x.begin(), x.end()}, gain)), activation_tolerance());

    const Matrix sum(*backend_, DType::f32, 5, cols, residual);
    const Matrix out(*backend_, backend_->product_dtype(), 5, cols);
    ops_.add_rms_norm(out, sum, Matrix(*backend_, backend_->activation_dtype(), 5, cols, x), backend_->make_vector(wide_gain).view(), 1e-5f,
                      {}, kOutputNormSite);
    std::vector<double> added(x.begin(), x.end());
    for (std::size_t i = 0; i < added.size(); ++i) added[i] += residual[i];
    EXPECT_LT(relative_error(values_of(sum), added), kExact);
    EXPECT_LT(relative_error(values_of(out), normalised(added, wide_gain)), product_tolerance());
  }
}

TEST_P(OpsConformance, RopeRotatesHalfSplitPairs) {
  for (const std::int64_t half : {4, 8, 12, 32, 40}) {
    const std::vector<float> cos = numbers_.vector(10 * half), sin = numbers_.vector(10 * half);
    const std::vector<float> x = numbers_.vector(3 * 6 * half);
    const std::vector<std::int32_t> positions = {9, 0, 4};
    std::vector<double> want(x.begin(), x.end());
    for (std::size_t t = 0; t < 3; ++t) {
      for (std::size_t head = 0; head < 3; ++head) {
        for (std::int64_t i = 0; i < half; ++i) {
          const std::size_t at = (t * 6 + head * 2) * static_cast<std::size_t>(half) + static_cast<std::size_t>(i);
          const double a = x[at], b = x[at + static_cast<std::size_t>(half)];
          const auto angle = static_cast<std::size_t>(positions[t] * half + i);
          const double c = cos[angle], s = sin[angle];
          want[at] = a * c - b * s;
          want[at + static_cast<std::size_t>(half)] = b * c + a * s;
        }
      }
    }
    const Matrix y(*backend_, backend_->activation_dtype(), 3, 6 * half, x);
    ops_.rope(y, OnDevice(*backend_, positions),
              {Matrix(*backend_, DType::f32, 10, half, cos), Matrix(*backend_, DType::f32, 10, half, sin)});
    EXPECT_LT(relative_error(values_of(y), want), activation_tolerance());
  }
}

struct AttendShape {
  std::int32_t heads, kv_heads, head_dim, page_tokens, tokens, window;
};

std::vector<double> attention(const AttendShape& shape, const std::vector<float>& q, const std::vector<float>& k,
                              const std::vector<float>& v) {
  const std::int32_t dim = shape.head_dim, group = shape.heads / shape.kv_heads;
  std::vector<double> out(q.size());
  for (std::int32_t t = 0; t < shape.tokens; ++t) {
    for (std::int32_t h = 0; h < shape.heads; ++h) {
      const std::int32_t first = shape.window > 0 ? std::max(0, t - shape.window + 1) : 0;
      const auto at = [&](std::int32_t p, std::int32_t d) { return static_cast<std::size_t>((p * shape.kv_heads + h / group) * dim + d); };
      double* to = out.data() + (t * shape.heads + h) * dim;
      double total = 0;
      for (std::int32_t p = first; p <= t; ++p) {
        double dot = 0;
        for (std::int32_t d = 0; d < dim; ++d)
          dot += static_cast<double>(q[static_cast<std::size_t>((t * shape.heads + h) * dim + d)]) * k[at(p, d)];
        const double weight = std::exp(dot / std::sqrt(static_cast<double>(dim)));
        total += weight;
        for (std::int32_t d = 0; d < dim; ++d) to[d] += weight * v[at(p, d)];
      }
      for (std::int32_t d = 0; d < dim; ++d) to[d] /= total;
    }
  }
  return out;
}

TEST_P(OpsConformance, AttendIsCausalGroupedWindowedSoftmaxOverPages) {
  const std::vector<AttendShape> shapes = {{2, 1, 8, 1, 5, 0},      {4, 4, 16, 2, 37, 0},   {7, 1, 64, 32, 70, 0},
                                           {14, 2, 64, 16, 40, 7},  {6, 2, 24, 8, 66, 33},  {3, 3, 80, 32, 65, 0},
                                           {4, 2, 128, 64, 130, 0}, {2, 2, 10, 4, 33, 1},   {9, 3, 16, 1, 34, 16},
                                           {14, 2, 64, 32, 96, 40}, {3, 1, 16, 8, 1100, 0}, {2, 2, 100, 32, 600, 200}};
  for (const AttendShape& shape : shapes) {
    const std::int32_t dim = shape.head_dim, kv_cols = shape.kv_heads * dim, cols = shape.heads * dim;
    const std::vector<float> q = numbers_.vector(shape.tokens * cols), k = numbers_.vector(shape.tokens * kv_cols),
                             v = numbers_.vector(shape.tokens * kv_cols);
    MadePool pool(*backend_, shape.page_tokens, shape.kv_heads, dim, shape.tokens);
    const SpanBatch spans = pool.batch(0, shape.tokens, 0);
    const Matrix out(*backend_, backend_->product_dtype(), shape.tokens, cols);
    ops_.store_kv(pool.layer(), Matrix(*backend_, backend_->activation_dtype(), shape.tokens, kv_cols, k),
                  Matrix(*backend_, backend_->activation_dtype(), shape.tokens, kv_cols, v), spans);
    ops_.attend(out, Matrix(*backend_, backend_->activation_dtype(), shape.tokens, cols, q), pool.layer(), spans,
                {1.0f / std::sqrt(static_cast<float>(dim)), shape.window});
    EXPECT_LT(relative_error(values_of(out), attention(shape, q, k, v)), product_tolerance())
        << shape.heads << " heads of " << dim << ", pages of " << shape.page_tokens << ", window " << shape.window;
  }
}

TEST_P(OpsConformance, LinearGatedIsSiluOfAProductsFirstHalfTimesItsSecond) {
  constexpr std::int64_t kIn = 33;
  for (const std::int32_t n : {1, 16, 37, 64, 160}) {
    std::vector<float> w = numbers_.vector(2 * n * kIn);
    for (std::size_t i = 0; i < static_cast<std::size_t>(kIn); ++i) w[i] *= 300;  // huge gates, of both signs
    LinearWeight weight = pack(*backend_, 2 * n, kIn, w, DType::bf16);
    weight.bias = backend_->make_vector(numbers_.vector(2 * n));
    std::vector<MadeRecord> records = {make_record(numbers_, 0, n, kIn, 3), make_record(numbers_, n, n, kIn, 4)};
    records[1].bias = numbers_.vector(n);
    records[1].bias_mode = BiasMode::replace;
    const MadeAdapter adapter(*backend_, kSite, records, {});
    for (const std::int32_t rows : {1, 5, 40, 90}) {
      const std::vector<AdapterSegment> segments = {{0, (rows + 1) / 2, 0, 1.0f, &adapter.view()}};
      const MadeSegments batch(*backend_, segments, 7);
      const Matrix x(*backend_, backend_->product_dtype(), rows, kIn, numbers_.vector(rows * kIn)), z(*backend_, DType::f32, rows, 7);
      const Matrix y(*backend_, backend_->activation_dtype(), rows, 2 * n), out(*backend_, backend_->product_dtype(), rows, n);
      ops_.shrink(z, x, batch, kSite);
      ops_.linear(y, x, weight, z, batch, kSite);
      ops_.linear_gated(out, x, weight, z, batch, kSite, Activation::silu);
      std::vector<double> want;
      const std::vector<float> whole = values_of(y);
      for (std::int32_t t = 0; t < rows; ++t) {
        const float* row = whole.data() + 2 * n * t;
        for (std::int32_t i = 0; i < n; ++i) want.push_back(row[i] / (1 + std::exp(-static_cast<double>(row[i]))) * row[n + i]);
      }
      EXPECT_LT(relative_error(values_of(out), want), product_tolerance()) << rows << " rows, " << n << " columns";
    }
  }
}

TEST_P(OpsConformance, EmbedReadsRowsOfThePackedTable) {
  for (const std::int64_t hidden : {1, 17, 64}) {
    const std::vector<float> table = numbers_.vector(70 * hidden);
    const LinearWeight weight = pack(*backend_, 70, hidden, table, DType::bf16);
    const std::vector<TokenId> ids = {69, 0, 33, 32, 33};
    const Matrix out(*backend_, backend_->activation_dtype(), 5, hidden);
    ops_.embed(out, OnDevice(*backend_, ids), nullptr, weight, 0);
    const std::vector<float> got = values_of(out);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto row = got.begin() + static_cast<std::ptrdiff_t>(i) * hidden;
      EXPECT_TRUE(std::equal(row, row + hidden, table.begin() + ids[i] * hidden)) << i;
    }
  }
}

TEST_P(OpsConformance, EmbedTakesTokensThatThePreviousStepDrew) {
  const std::vector<float> table = numbers_.vector(70 * 17);
  const LinearWeight weight = pack(*backend_, 70, 17, table, DType::bf16);
  std::vector<TokenResult> drawn(3);
  drawn[0].id = 8;
  drawn[2].id = 69;
  const OnDevice previous(*backend_, drawn);
  const Matrix out(*backend_, backend_->activation_dtype(), 4, 17);
  const OnDevice ids(*backend_, std::vector<TokenId>{-3, 5, -1, -3});
  ops_.embed(out, ids, StepArray<TokenResult>(previous).device, weight, 0);
  const std::vector<float> got = values_of(out);
  const std::vector<TokenId> expected = {69, 5, 8, 69};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto row = got.begin() + static_cast<std::ptrdiff_t>(i) * 17;
    EXPECT_TRUE(std::equal(row, row + 17, table.begin() + expected[i] * 17)) << i;
  }
}

TEST_P(OpsConformance, GatherFillAndCopyMoveBytes) {
  const Matrix in(*backend_, DType::bf16, 4, 5, numbers_.vector(20));
  const Matrix out(*backend_, DType::bf16, 3, 5);
  const std::vector<std::int32_t> rows = {3, 0, 3};
  ops_.gather_rows(out, in, OnDevice(*backend_, rows));
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(same_bits(out.tensor().rows_from(i, 1), in.tensor().rows_from(rows[static_cast<std::size_t>(i)], 1)));

  ops_.fill(out, 0.5f);
  EXPECT_THAT(values_of(out), ::testing::Each(0.5f));

  std::vector<std::byte> numbered(4 * 64);
  for (std::size_t i = 0; i < numbered.size(); ++i) numbered[i] = static_cast<std::byte>(i / 64);
  const Buffer pages = uploaded(*backend_, numbered.data(), numbered.size());
  const std::vector<PageCopy> copies = {{{0}, {3}}, {{2}, {1}}};
  ops_.copy_pages(pages.data(), 64, copies);
  backend_->download(numbered.data(), pages.view(DType::u8, 4, 64));
  EXPECT_EQ(numbered[0], std::byte{3});
  EXPECT_EQ(numbered[2 * 64 + 63], std::byte{1});
  EXPECT_EQ(numbered[64], std::byte{1});
}

}  // namespace
}  // namespace slora::testing
