// Padded and merged products against the backend's own.
#include "bench/adapter_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <new>

#include "backend/forwarding_backend.h"
#include "backend/testing/op_fixture.h"
#include "base/testing/allocation_failure.h"
#include "engine/testing/engine_fixture.h"

namespace slora::bench {
namespace {

using namespace slora::testing;

constexpr Site kTestedSite{1, SiteKind::qkv};
constexpr double kSameSums = 2e-6;       // fp32 sums of the same numbers in another order
constexpr double kRoundedWeight = 5e-3;  // bf16 weights that are rounded once more

// A site of three modules and a batch of adapters of mixed ranks, some of which lack modules.
class ProductCase {
 public:
  static constexpr std::int32_t kOut = 176, kIn = 70, kRows = 40;

  explicit ProductCase(Backend& backend) : backend_(backend), weight_(pack(backend, kOut, kIn, numbers_.vector(kOut * kIn), DType::f32)) {
    weight_.bias = backend.make_vector(numbers_.vector(kOut));
    std::uint64_t id = 1;
    for (const std::int32_t rank : {1, 2, 3, 5, 8, 13, 16, 31, 33, 64}) {
      std::vector<MadeRecord> records = {make_record(numbers_, 0, 96, kIn, rank)};
      if (rank % 2 == 1) records.push_back(make_record(numbers_, 96, 48, kIn, rank / 2 + 1));
      if (rank % 3 != 0) records.push_back(make_record(numbers_, 144, 32, kIn, rank));
      for (MadeRecord& record : records) record.scale = 0.3f / std::sqrt(static_cast<float>(rank));
      if (rank == 5) records[1].bias = numbers_.vector(48);
      if (rank == 8) {
        records[1].bias = numbers_.vector(32);
        records[1].bias_mode = BiasMode::replace;
      }
      adapters_.emplace_back(backend, kTestedSite, records, Cuts{.tile_rows = 7, .tile_cols = 64}, AdapterId{id++});
    }
  }

  // Three rows for each adapter, and one of the base model after each.
  [[nodiscard]] std::vector<AdapterSegment> mixed_segments() const {
    std::vector<AdapterSegment> segments;
    for (std::size_t i = 0; i < adapters_.size(); ++i)
      segments.push_back({static_cast<std::int32_t>(4 * i), 3, 0, 1.0f, &adapters_[i].view()});
    return segments;
  }
  [[nodiscard]] std::vector<AdapterSegment> segment_of(std::size_t adapter) const {
    return {{0, kRows, 0, 1.0f, &adapters_[adapter].view()}};
  }
  [[nodiscard]] std::size_t adapter_count() const { return adapters_.size(); }

  // What a model does at a site; z as wide as the model would make it.
  std::vector<float> product(Ops& ops, std::span<const AdapterSegment> segments) {
    const AdapterBatch batch{segments, kZCols};
    ops.shrink(z_, x_, batch, kTestedSite);
    ops.linear(y_, x_, weight_, z_, batch, kTestedSite);
    return values_of(y_);
  }
  std::vector<float> gated_product(Ops& ops, std::span<const AdapterSegment> segments) {
    const AdapterBatch batch{segments, kZCols};
    ops.shrink(z_, x_, batch, kTestedSite);
    ops.linear_gated(gated_, x_, weight_, z_, batch, kTestedSite, Activation::silu);
    return values_of(gated_);
  }

 private:
  static constexpr std::int32_t kZCols = 161;

  Backend& backend_;
  Numbers numbers_{3};
  LinearWeight weight_;
  std::deque<MadeAdapter> adapters_;
  const Matrix x_{backend_, backend_.product_dtype(), kRows, kIn, numbers_.vector(kRows* kIn)};
  const Matrix z_{backend_, DType::f32, kRows, kZCols}, y_{backend_, backend_.activation_dtype(), kRows, kOut};
  const Matrix gated_{backend_, backend_.product_dtype(), kRows, kOut / 2};
};

double difference(const std::vector<float>& got, const std::vector<float>& want) {
  return relative_error(got, std::vector<double>(want.begin(), want.end()));
}

class AdapterProductOps : public ::testing::TestWithParam<Variant> {
 protected:
  // The same case on a wrapped backend as on the plain one.
  struct Pair {
    explicit Pair(std::unique_ptr<Backend> plain_backend, std::unique_ptr<Backend> wrapped_backend)
        : plain(std::move(plain_backend)), wrapped(std::move(wrapped_backend)), plain_case(*plain), wrapped_case(*wrapped) {}
    std::vector<float> want(std::span<const AdapterSegment> segments) { return plain_case.product(plain->ops(), segments); }
    std::vector<float> got(std::span<const AdapterSegment> segments) { return wrapped_case.product(wrapped->ops(), segments); }

    std::unique_ptr<Backend> plain, wrapped;
    ProductCase plain_case, wrapped_case;
  };

  MergeCounts counts_;
};

std::vector<Variant> product_variants() {
  std::vector<Variant> variants = every_variant();
  variants.push_back(int8_variants().front());
  return variants;
}

INSTANTIATE_TEST_SUITE_P(Backends, AdapterProductOps, ::testing::ValuesIn(product_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

TEST_P(AdapterProductOps, PaddedOnesAreThoseOfTheBackend) {
  Pair pair(open(GetParam()), make_padded_backend(open(GetParam())));
  EXPECT_LT(difference(pair.got(pair.wrapped_case.mixed_segments()), pair.want(pair.plain_case.mixed_segments())), kSameSums);
  const std::vector<float> gated = pair.wrapped_case.gated_product(pair.wrapped->ops(), pair.wrapped_case.mixed_segments());
  const std::vector<float> plain = pair.plain_case.gated_product(pair.plain->ops(), pair.plain_case.mixed_segments());
  EXPECT_LT(difference(gated, plain), kRoundedWeight);
  for (std::size_t i = 0; i < pair.plain_case.adapter_count(); ++i)
    EXPECT_LT(difference(pair.got(pair.wrapped_case.segment_of(i)), pair.want(pair.plain_case.segment_of(i))), kSameSums) << i;
  EXPECT_EQ(pair.got({}), pair.want({}));
}

// The components of a blend have the same rows.
TEST_P(AdapterProductOps, PaddedOnesAddUpWhereSegmentsOverlap) {
  Pair pair(open(GetParam()), make_padded_backend(open(GetParam())));
  const auto blended = [](const ProductCase& product) {
    std::vector<AdapterSegment> segments = product.mixed_segments();
    segments.resize(2);
    segments[0] = {3, 20, 0, 0.75f, segments[0].adapter};
    segments[1] = {3, 20, 8, 0.5f, product.mixed_segments()[7].adapter};
    return segments;
  };
  EXPECT_LT(difference(pair.got(blended(pair.wrapped_case)), pair.want(blended(pair.plain_case))), kSameSums);
}

TEST_P(AdapterProductOps, PaddedOnesAllocateNothingOfTheirOwnOnceTheyHaveGrown) {
  Pair pair(open(GetParam()), make_padded_backend(open(GetParam())));
  const auto count = [](ProductCase& product, Ops& ops, const std::vector<AdapterSegment>& segments) {
    count_allocations();
    static_cast<void>(product.product(ops, segments));
    return end_failures();
  };
  for (int round = 0; round < 2; ++round) {
    for (const std::size_t adapter : {9u, 0u, 4u}) {
      const std::vector<AdapterSegment> one = pair.wrapped_case.segment_of(adapter), mixed = pair.wrapped_case.mixed_segments();
      const std::vector<AdapterSegment> plain_one = pair.plain_case.segment_of(adapter), plain_mixed = pair.plain_case.mixed_segments();
      const std::size_t padded_count =
          count(pair.wrapped_case, pair.wrapped->ops(), mixed) + count(pair.wrapped_case, pair.wrapped->ops(), one);
      const std::size_t plain_count =
          count(pair.plain_case, pair.plain->ops(), plain_mixed) + count(pair.plain_case, pair.plain->ops(), plain_one);
      if (round > 0) {
        EXPECT_EQ(padded_count, plain_count) << adapter;
      }
    }
  }
}

TEST_P(AdapterProductOps, MergedOnesAreThoseOfTheBackendButForTheRoundingOfTheWeights) {
  Pair pair(open(GetParam()), make_merged_backend(open(GetParam()), counts_));
  const bool is_exact = pair.plain->product_dtype() == DType::f32;
  const double tolerance = is_exact ? kSameSums : GetParam().weights == WeightStorage::int8 ? 2e-2 : kRoundedWeight;
  std::vector<std::vector<float>> first;
  for (std::size_t i = 0; i < pair.plain_case.adapter_count(); ++i) {
    first.push_back(pair.got(pair.wrapped_case.segment_of(i)));
    EXPECT_LT(difference(first.back(), pair.want(pair.plain_case.segment_of(i))), tolerance) << i;
    EXPECT_GT(difference(first.back(), pair.want({})), 2 * tolerance) << "adapter " << i << " changes something";
  }
  EXPECT_EQ(counts_.switches.load(), first.size());
  EXPECT_EQ(pair.got({}), pair.want({})) << "the base model is untouched";
  for (int round = 0; round < 3; ++round) {
    for (const std::size_t i : {9u, 0u, 4u, 3u}) EXPECT_EQ(pair.got(pair.wrapped_case.segment_of(i)), first[i]) << "nothing drifts";
  }
  EXPECT_GT(counts_.nanoseconds.load(), 0);
  const std::uint64_t switches = counts_.switches.load();
  EXPECT_EQ(pair.got(pair.wrapped_case.segment_of(3)), first[3]);
  EXPECT_EQ(counts_.switches.load(), switches) << "nothing to switch";
}

// Memory runs out in uploads while `fails`.
class FailingUploads final : public ForwardingBackend {
 public:
  FailingUploads(std::unique_ptr<Backend> inner, const bool& fails) : ForwardingBackend(std::move(inner)), fails_(fails) {}
  void upload(Tensor to, const void* from) override {
    if (fails_) throw std::bad_alloc();
    inner().upload(to, from);
  }

 private:
  const bool& fails_;
};

// The weights are another adapter's when the upload of the bias fails.
TEST_P(AdapterProductOps, MergedOnesAreRightAfterASwitchThatFailed) {
  bool fails = false;
  Pair pair(open(GetParam()), make_merged_backend(std::make_unique<FailingUploads>(open(GetParam()), fails), counts_));
  const std::vector<float> before = pair.got(pair.wrapped_case.segment_of(0));
  const std::uint64_t weight_bytes = counts_.weight_bytes.load();
  fails = true;
  EXPECT_THROW(pair.got(pair.wrapped_case.segment_of(9)), std::bad_alloc);
  fails = false;
  EXPECT_EQ(pair.got(pair.wrapped_case.segment_of(0)), before);
  EXPECT_EQ(counts_.weight_bytes.load(), weight_bytes);
}

TEST_P(AdapterProductOps, MergedOnesComputeABatchOfSeveralAdaptersToo) {
  Pair pair(open(GetParam()), make_merged_backend(open(GetParam()), counts_));
  const double tolerance = GetParam().weights == WeightStorage::int8 ? 2e-2 : kRoundedWeight;
  EXPECT_LT(difference(pair.got(pair.wrapped_case.mixed_segments()), pair.want(pair.plain_case.mixed_segments())), tolerance);
  EXPECT_EQ(counts_.switches.load(), pair.plain_case.adapter_count());
}

// Through a whole engine, with each adapter of the golden model, whose modules, ranks, alphas and biases differ.
struct AdapterProductCase {
  std::string backend;
  AdapterProduct product;
};
void PrintTo(const AdapterProductCase& test, std::ostream* out) {
  *out << test.backend << (test.product == AdapterProduct::padded ? " padded" : " merged");
}

class AdapterProductAnswers : public ::testing::TestWithParam<AdapterProductCase> {
 protected:
  static std::vector<Stream> answers(TestEngine& engine) {
    std::vector<std::string> names = adapter_names();
    names.insert(names.begin() + 5, "");
    std::vector<Stream> streams;
    for (const std::string& name : names) {
      GenerationRequest request = engine.request(name, {3, 17, 40, 5, 61, 22, 9, 33, 71, 12, 50, 2}, 3);
      request.sampling.prompt_logprob_count = 0;
      streams.push_back(engine.wait(engine.submit(std::move(request))));
    }
    return streams;
  }

  MergeCounts counts_;
};

TEST_P(AdapterProductAnswers, AreThoseOfTheBackend) {
  EngineSetting setting{.backend = GetParam().backend};
  TestEngine plain(setting);
  setting.wrap_backend = backend_wrapper(GetParam().product, counts_);
  TestEngine wrapped(setting);
  const std::vector<Stream> want = answers(plain), got = answers(wrapped);
  // As for the golden answers of other tests: fp32, and bf16 with its rounding of activations and weights.
  const double tolerance = GetParam().backend == "reference" ? 1e-4 : 0.15;
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(got[i].end, EndReason::length) << got[i].error_message;
    ASSERT_EQ(got[i].prompt_logprobs.size(), 11u);
    for (std::size_t position = 0; position < 11; ++position) {
      EXPECT_NEAR(got[i].prompt_logprobs[position].token.logprob, want[i].prompt_logprobs[position].token.logprob, tolerance)
          << "request " << i << ", position " << position;
    }
  }
  EXPECT_EQ(counts_.switches.load() > 0, GetParam().product == AdapterProduct::merged);
}

INSTANTIATE_TEST_SUITE_P(
    Backends, AdapterProductAnswers,
    ::testing::Values(AdapterProductCase{"reference", AdapterProduct::padded}, AdapterProductCase{"cpu", AdapterProduct::padded},
                      AdapterProductCase{"reference", AdapterProduct::merged}, AdapterProductCase{"cpu", AdapterProduct::merged}),
    [](const auto& test) { return test.param.backend + (test.param.product == AdapterProduct::padded ? "_padded" : "_merged"); });

}  // namespace
}  // namespace slora::bench
