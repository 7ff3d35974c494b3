// A result row depends on its own inputs only, bit for bit.
#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

constexpr Site kSite{0, SiteKind::qkv};

class OpsInvariance : public ::testing::TestWithParam<Variant> {
 protected:
  std::unique_ptr<Backend> backend_ = open(GetParam());
  Numbers numbers_{23};
  const std::int32_t stride_ = GetParam().stride;
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsInvariance, ::testing::ValuesIn(ops_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });
INSTANTIATE_TEST_SUITE_P(WeightsInBytes, OpsInvariance, ::testing::ValuesIn(ops_int8_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });
INSTANTIATE_TEST_SUITE_P(WeightsInFourBits, OpsInvariance, ::testing::ValuesIn(ops_int4_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

enum class AdapterKind { plain, general };

// A product with several adapters over 90 rows, any run of which can be computed alone.
class Projection {
 public:
  static constexpr std::int32_t kRows = 90, kOut = 202, kIn = 131, kZCols = 24;

  Projection(Backend& backend, Numbers& numbers, Cuts cuts, AdapterKind kind = AdapterKind::plain)
      : backend_(&backend),
        weight_(pack(backend, kOut, kIn, numbers.vector(kOut * kIn), DType::f32)),
        x_(backend, backend.product_dtype(), kRows, kIn, numbers.vector(kRows * kIn)) {
    weight_.bias = backend.make_vector(numbers.vector(kOut));
    const auto add = [&](std::int32_t rank, auto change) {
      std::vector<MadeRecord> records = {make_record(numbers, 0, 101, kIn, rank), make_record(numbers, 101, 101, kIn, rank)};
      change(records);
      adapters_.emplace_back(backend, kSite, records, cuts);
    };
    for (const std::int32_t rank : {1, 5, 12}) add(rank, [](const std::vector<MadeRecord>&) {});
    if (kind == AdapterKind::plain) return;
    add(7, [&](std::vector<MadeRecord>& records) { records[1].gain = numbers.vector(101); });
    add(12, [&](std::vector<MadeRecord>& records) {
      records[0].rank_gain = numbers.vector(12);
      records[0].delta_gain = numbers.vector(101);
      records[0].bias = numbers.vector(101);
    });
    add(3, [&](std::vector<MadeRecord>& records) {
      records[0].low_rank = LowRank::hadamard;
      records[1].input_gain = numbers.vector(kIn);
    });
    if (backend.adapter_format().has_sparse_records) {
      add(4, [&](std::vector<MadeRecord>& records) {
        for (std::int32_t n = 1; n <= 101; ++n) records[1].sparse_ends.push_back(5 * n);
        for (std::int32_t i = 0; i < 5 * 101; ++i) records[1].sparse_columns.push_back(i * 7 % kIn);
        records[1].sparse_values = numbers.vector(5 * 101);
      });
    }
    add(0, [&](std::vector<MadeRecord>& records) {
      records.resize(1);
      records[0].out = kOut;
      records[0].input_gain = numbers.vector(kIn);
    });
  }

  // Rows [begin, begin + count): three under each adapter, then three under none, and so on.
  [[nodiscard]] Matrix run(std::int32_t begin, std::int32_t count) const {
    Matrix y(*backend_, backend_->activation_dtype(), count, kOut);
    run_op(begin, count, [&](Tensor x, Tensor z, const AdapterBatch& batch) { backend_->ops().linear(y, x, weight_, z, batch, kSite); });
    return y;
  }
  [[nodiscard]] Matrix run_gated(std::int32_t begin, std::int32_t count) const {
    Matrix out(*backend_, backend_->product_dtype(), count, kOut / 2);
    run_op(begin, count, [&](Tensor x, Tensor z, const AdapterBatch& batch) {
      backend_->ops().linear_gated(out, x, weight_, z, batch, kSite, Activation::silu);
    });
    return out;
  }

 private:
  template <class Op>
  void run_op(std::int32_t begin, std::int32_t count, Op op) const {
    std::vector<AdapterSegment> segments;
    for (std::int32_t row = begin; row < begin + count; ++row) {
      const std::size_t adapter = static_cast<std::size_t>(row / 3) % (adapters_.size() + 1);
      if (adapter == adapters_.size()) continue;
      const AdapterView* view = &adapters_[adapter].view();
      if (!segments.empty() && segments.back().adapter == view && segments.back().row_begin + segments.back().row_count == row - begin) {
        ++segments.back().row_count;
      } else {
        segments.push_back({row - begin, 1, 0, 1.0f, view});
      }
    }
    const MadeSegments batch(*backend_, segments, kZCols);
    const Tensor x = x_.tensor().rows_from(begin, count);
    const Matrix z(*backend_, DType::f32, count, kZCols);
    backend_->ops().shrink(z, x, batch, kSite);
    op(x, z, batch);
  }

  Backend* backend_;
  LinearWeight weight_;
  Matrix x_;
  std::deque<MadeAdapter> adapters_;
};

void expect_same_rows_in_every_batch(const Projection& projection, std::int32_t stride) {
  const Matrix whole = projection.run(0, Projection::kRows), gated = projection.run_gated(0, Projection::kRows);
  for (std::int32_t rows = 1; rows <= Projection::kRows; rows += stride) {
    const std::int32_t begin = (Projection::kRows - rows) / 2;
    const Matrix part = projection.run(begin, rows);
    EXPECT_TRUE(same_bits(part, whole.tensor().rows_from(begin, rows))) << rows << " rows from " << begin;
    const Matrix gated_part = projection.run_gated(begin, rows);
    EXPECT_TRUE(same_bits(gated_part, gated.tensor().rows_from(begin, rows))) << rows << " gated rows from " << begin;
  }
}

TEST_P(OpsInvariance, ARowOfAnAdaptedProductIsTheSameInBatchesOfEverySize) {
  expect_same_rows_in_every_batch(Projection(*backend_, numbers_, {}), stride_);
}

// Products divide that many inputs into blocks, whatever the number of rows.
TEST_P(OpsInvariance, ARowOfAProductWithManyInputsIsTheSameInBatchesOfEverySize) {
  constexpr std::int32_t kRows = 40, kOut = 45, kIn = 2601;
  const LinearWeight weight = pack(*backend_, kOut, kIn, numbers_.vector(kOut * kIn), DType::f32);
  const Matrix x(*backend_, backend_->product_dtype(), kRows, kIn, numbers_.vector(kRows * kIn));
  const auto product = [&](std::int32_t begin, std::int32_t count) {
    Matrix y(*backend_, backend_->activation_dtype(), count, kOut);
    backend_->ops().linear(y, x.tensor().rows_from(begin, count), weight, {}, {}, kSite);
    return y;
  };
  const Matrix whole = product(0, kRows);
  for (const std::int32_t rows : {1, 3, 4, 6, 7, 11, 14, 23, 39}) {
    EXPECT_TRUE(same_bits(product(1, rows), whole.tensor().rows_from(1, rows))) << rows << " rows";
  }
}

TEST_P(OpsInvariance, ARowUnderGeneralRecordsIsTheSameInBatchesOfEverySize) {
  expect_same_rows_in_every_batch(Projection(*backend_, numbers_, {}, AdapterKind::general), stride_);
}

TEST_P(OpsInvariance, HowAdapterMatricesAreCutChangesNoBit) {
  Numbers numbers(5);
  const Projection whole(*backend_, numbers, {}, AdapterKind::general);
  const Matrix want = whole.run(0, Projection::kRows);
  for (const Cuts cuts : {Cuts{1, 64}, Cuts{1, 1 << 20}, Cuts{3, 1 << 20}, Cuts{2, 128}}) {
    Numbers again(5);
    const Projection cut(*backend_, again, cuts, AdapterKind::general);
    EXPECT_TRUE(same_bits(cut.run(0, Projection::kRows), want)) << "tiles of " << cuts.tile_rows << " x " << cuts.tile_cols;
  }
}

struct PromptShape {
  std::int32_t tokens, heads, kv_heads, dim;
};
constexpr PromptShape kShort = {101, 14, 2, 24};
// Longer than one split of attention, where that is split.
constexpr PromptShape long_shape(std::int32_t stride) { return {stride == 1 ? 1100 : 300, 3, 1, 16}; }

// One sequence's attention, its tokens given in chunks.
class Prompt {
 public:
  explicit Prompt(Backend& backend, Numbers& numbers, PromptShape shape = kShort)
      : shape_(shape),
        q_(backend, backend.activation_dtype(), shape.tokens, shape.heads * shape.dim,
           numbers.vector(shape.tokens * shape.heads * shape.dim)),
        k_(backend, backend.activation_dtype(), shape.tokens, shape.kv_heads * shape.dim,
           numbers.vector(shape.tokens * shape.kv_heads * shape.dim)),
        v_(backend, backend.activation_dtype(), shape.tokens, shape.kv_heads * shape.dim,
           numbers.vector(shape.tokens * shape.kv_heads * shape.dim)) {}

  // Ends of the chunks, the last of which is all tokens.
  [[nodiscard]] Matrix run(Backend& backend, std::int32_t page_tokens, std::int32_t window, const std::vector<std::int32_t>& ends) const {
    MadePool pool(backend, page_tokens, shape_.kv_heads, shape_.dim, shape_.tokens);
    Matrix out(backend, backend.product_dtype(), shape_.tokens, shape_.heads * shape_.dim);
    std::int32_t begin = 0;
    for (const std::int32_t end : ends) {
      const std::int32_t count = end - begin;
      const SpanBatch spans = pool.batch(0, count, begin);
      backend.ops().store_kv(pool.layer(), k_.tensor().rows_from(begin, count), v_.tensor().rows_from(begin, count), spans);
      backend.ops().attend(out.tensor().rows_from(begin, count), q_.tensor().rows_from(begin, count), pool.layer(), spans, {0.2f, window});
      begin = end;
    }
    return out;
  }

 private:
  PromptShape shape_;
  Matrix q_, k_, v_;
};

TEST_P(OpsInvariance, APromptCutAnywhereAttendsToTheSameBits) {
  const Prompt prompt(*backend_, numbers_);
  for (const std::int32_t window : {0, 21}) {
    const Matrix whole = prompt.run(*backend_, 16, window, {kShort.tokens});
    for (std::int32_t cut = 1; cut < kShort.tokens; cut += stride_) {
      EXPECT_TRUE(same_bits(prompt.run(*backend_, 16, window, {cut, kShort.tokens}), whole)) << "cut at " << cut << ", window " << window;
    }
    std::vector<std::int32_t> one_by_one;
    for (std::int32_t end = kShort.tokens; end > 0 && std::ssize(one_by_one) < 101 / stride_; --end) one_by_one.push_back(end);
    if (one_by_one.back() > 1) one_by_one.push_back(one_by_one.back() / 2);
    std::ranges::reverse(one_by_one);
    EXPECT_TRUE(same_bits(prompt.run(*backend_, 16, window, one_by_one), whole)) << "decoded, window " << window;
  }
}

TEST_P(OpsInvariance, ALongPromptInFewOrManyChunksAttendsToTheSameBits) {
  const std::int32_t tokens = long_shape(stride_).tokens;
  const Prompt prompt(*backend_, numbers_, long_shape(stride_));
  std::vector<std::int32_t> last_one_by_one;
  for (std::int32_t end = tokens - 90 / stride_; end <= tokens; ++end) last_one_by_one.push_back(end);
  for (const std::int32_t window : {0, tokens * 3 / 11}) {
    const Matrix whole = prompt.run(*backend_, 32, window, {tokens});
    for (const std::int32_t cut : {1, 127, 128, 129, 511, 512, 513, 811, 812, 1024, 1099}) {
      if (cut >= tokens) break;
      EXPECT_TRUE(same_bits(prompt.run(*backend_, 32, window, {cut, tokens}), whole)) << "cut at " << cut << ", window " << window;
    }
    const std::vector<std::int32_t> chunks = {tokens * 5 / 11, tokens * 6 / 11, tokens * 41 / 55, tokens * 10 / 11, tokens};
    EXPECT_TRUE(same_bits(prompt.run(*backend_, 32, window, chunks), whole)) << "chunks, window " << window;
    EXPECT_TRUE(same_bits(prompt.run(*backend_, 32, window, last_one_by_one), whole)) << "decoded, window " << window;
  }
}

TEST_P(OpsInvariance, PageSizeChangesNoBitOfAttention) {
  const Prompt prompt(*backend_, numbers_);
  const std::int32_t tokens = long_shape(stride_).tokens;
  const Prompt long_prompt(*backend_, numbers_, long_shape(stride_));
  const Matrix want = prompt.run(*backend_, 16, 0, {kShort.tokens});
  const Matrix want_long = long_prompt.run(*backend_, 16, 0, {tokens});
  for (const std::int32_t page_tokens : {1, 2, 4, 8, 32, 64}) {
    EXPECT_TRUE(same_bits(prompt.run(*backend_, page_tokens, 0, {50, kShort.tokens}), want)) << "pages of " << page_tokens;
    EXPECT_TRUE(same_bits(long_prompt.run(*backend_, page_tokens, 0, {tokens - 1, tokens}), want_long)) << "pages of " << page_tokens;
  }
}

TEST_P(OpsInvariance, ThreadsChangeNoBit) {
  if (GetParam().make != nullptr) GTEST_SKIP() << "a device";
  for (const int threads : {1, 5}) {
    Variant changed = GetParam();
    changed.threads = threads;
    const std::unique_ptr<Backend> other = open(changed);
    Numbers one(9), two(9);
    const Projection projection(*backend_, one, {}, AdapterKind::general), same(*other, two, {}, AdapterKind::general);
    EXPECT_TRUE(same_bits(projection.run(0, Projection::kRows), same.run(0, Projection::kRows)));
    EXPECT_TRUE(same_bits(projection.run_gated(0, Projection::kRows), same.run_gated(0, Projection::kRows)));
    const Prompt prompt(*backend_, numbers_);
    EXPECT_TRUE(same_bits(prompt.run(*backend_, 8, 0, {kShort.tokens}), prompt.run(*other, 8, 0, {kShort.tokens})));
    const std::int32_t tokens = long_shape(stride_).tokens;
    const Prompt long_prompt(*backend_, numbers_, long_shape(stride_));
    const std::vector<std::int32_t> ends = {tokens - 20, tokens - 1, tokens};
    EXPECT_TRUE(same_bits(long_prompt.run(*backend_, 8, 0, ends), long_prompt.run(*other, 8, 0, ends)));
  }
}

TEST_P(OpsInvariance, SequencesOfABatchDoNotTouchOneAnother) {
  constexpr std::int32_t kTokens = 45, kDim = 16, kCols = 3 * kDim;
  const Matrix q(*backend_, backend_->activation_dtype(), 2 * kTokens, kCols, numbers_.vector(2 * kTokens * kCols));
  const Matrix k(*backend_, backend_->activation_dtype(), 2 * kTokens, kDim, numbers_.vector(2 * kTokens * kDim));
  const Matrix v(*backend_, backend_->activation_dtype(), 2 * kTokens, kDim, numbers_.vector(2 * kTokens * kDim));
  MadePool pool(*backend_, 4, 1, kDim, 2 * kTokens + 4);
  const SpanView first{0, kTokens, 0, 0, 12};
  const SpanView second{kTokens, kTokens, 0, 12, 12};
  const Matrix together(*backend_, backend_->product_dtype(), 2 * kTokens, kCols);
  const SpanBatch both = pool.batch({first, second});
  backend_->ops().store_kv(pool.layer(), k, v, both);
  backend_->ops().attend(together, q, pool.layer(), both, {0.25f, 0});
  const Matrix alone(*backend_, backend_->product_dtype(), 2 * kTokens, kCols);
  for (const SpanView& span : {first, second}) backend_->ops().attend(alone, q, pool.layer(), pool.batch({span}), {0.25f, 0});
  EXPECT_TRUE(same_bits(alone, together));
}

TEST_P(OpsInvariance, RowsOfElementwiseOpsAreTheSameAlone) {
  constexpr std::int64_t kRows = 37, kCols = 90;
  const DeviceVector gain = backend_->make_vector(numbers_.vector(kCols));
  const Matrix x(*backend_, backend_->activation_dtype(), kRows, kCols, numbers_.vector(kRows * kCols));
  const Matrix norm(*backend_, backend_->product_dtype(), kRows, kCols), norm_alone(*backend_, backend_->product_dtype(), kRows, kCols);
  Ops& ops = backend_->ops();
  ops.rms_norm(norm, x, gain.view(), 1e-6f, {}, kOutputNormSite);
  for (std::int64_t row = 0; row < kRows; ++row) {
    ops.rms_norm(norm_alone.tensor().rows_from(row, 1), x.tensor().rows_from(row, 1), gain.view(), 1e-6f, {}, kOutputNormSite);
  }
  EXPECT_TRUE(same_bits(norm, norm_alone));
}

}  // namespace
}  // namespace slora::testing
