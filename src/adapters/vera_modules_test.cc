#include "adapters/vera_modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <thread>

#include "adapters/adapter_image.h"
#include "adapters/image_layout.h"
#include "adapters/testing/family_import.h"
#include "adapters/vera_projection.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr const char* kVeraQ = "model.layers.0.self_attn.q_proj";  // [48, 48]
constexpr const char* kVeraV = "model.layers.0.self_attn.v_proj";  // [24, 48]
constexpr const char* kVeraDown = "model.layers.1.mlp.down_proj";  // [48, 80]

LoraFixture vera(const std::string& members = "") {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "VERA", "r": 4)" + members + "}";
  return fixture;
}

LoraFixture& add_lambdas(LoraFixture& fixture, const std::string& module, std::int64_t out, std::int64_t rank = 4) {
  return fixture.add(module + ".vera_lambda_b", {out}).add(module + ".vera_lambda_d", {rank});
}

LoraFixture& add_projection(LoraFixture& fixture, std::int64_t in, std::int64_t out, std::int64_t rank = 4) {
  return fixture.add("vera_A", {rank, in}, DType::f32, "base_model.").add("vera_B", {out, rank}, DType::f32, "base_model.");
}

std::vector<std::uint32_t> bits_of(std::span<const float> values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

// What torch 1.13 and 2.15 draw.
TEST(VeraProjection, HasTheBitsThatPeftDraws) {
  const VeraProjection zero({.rank = 2, .in = 4, .out = 3, .seed = 0});
  EXPECT_THAT(bits_of(zero.a()),
              ElementsAre(0xbc163b71, 0x3f283195, 0xbf8106d0, 0xbf66be0f, 0xbef184bd, 0x3ea8273d, 0xbcc6c9af, 0x3f78992e));
  EXPECT_THAT(bits_of(zero.b()), ElementsAre(0xbe1d65f1, 0x3eeaa93b, 0xbf0600b7, 0xbeae50ef, 0xbfd3cd9b, 0xbf92d461));
}

TEST(VeraProjections, AreSharedByAdaptersOfOneKeyAndSize) {
  VeraProjections projections;
  const ProjectionKey key{.rank = 2, .in = 300, .out = 200, .seed = 7};
  const float* numbers = nullptr;
  {
    const std::shared_ptr<const VeraProjection> first = projections.find_or_make(key);
    EXPECT_EQ(projections.find_or_make(key), first);
    ProjectionKey other = key;
    other.seed = 8;
    EXPECT_NE(projections.find_or_make(other), first);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { EXPECT_EQ(first->b().size(), 400u); });
    numbers = first->a().data();
  }
  EXPECT_EQ(projections.find_or_make(key)->a().data(), numbers) << "kept for the next adapter";
}

TEST(VeraProjections, KeepFewThatAreNotInUse) {
  VeraProjections projections;
  const auto key = [](std::uint32_t seed) { return ProjectionKey{.rank = 512, .in = 1 << 14, .out = 1, .seed = seed}; };  // 32 MiB each
  const std::weak_ptr<const VeraProjection> first = projections.find_or_make(key(0));
  for (std::uint32_t seed = 1; seed <= 2; ++seed) (void)projections.find_or_make(key(seed));
  EXPECT_FALSE(first.expired());
  const std::weak_ptr<const VeraProjection> second = projections.find_or_make(key(1));
  for (std::uint32_t seed = 3; seed <= 4; ++seed) (void)projections.find_or_make(key(seed));
  EXPECT_TRUE(first.expired());
  EXPECT_FALSE(second.expired()) << "used later";
  const ProjectionKey large{.rank = 512, .in = 1 << 18, .out = 1, .seed = 0};  // 512 MiB
  const std::weak_ptr<const VeraProjection> held = projections.find_or_make(large);
  EXPECT_TRUE(held.expired()) << "too large to be kept";
}

TEST(VeraModules, ShareTheStoredMatricesAndUseTheirFirstRowsAndColumns) {
  LoraFixture fixture = vera();
  add_projection(fixture, 80, 48);
  add_lambdas(fixture, kVeraQ, 48);
  add_lambdas(fixture, kVeraV, 24);
  add_lambdas(fixture, kVeraDown, 48);
  AdapterPlan plan = import_adapter(fixture).value();
  EXPECT_THAT(plan.derived, IsEmpty());
  ASSERT_EQ(plan.records.size(), 3u);
  for (const AdapterRecord& record : plan.records) {
    EXPECT_EQ(tensor_of(record, PartKind::a), 0);
    EXPECT_EQ(tensor_of(record, PartKind::b), 1);
    EXPECT_EQ(record.find(PartKind::a)->slice, (SourceSlice{0, 4, 0, record.in}));
    EXPECT_EQ(record.find(PartKind::b)->slice, (SourceSlice{0, record.out, 0, 4}));
    EXPECT_EQ(record.find(PartKind::delta_gain)->slice, (SourceSlice{0, 1, 0, record.out}));
    EXPECT_EQ(record.find(PartKind::rank_gain)->slice, (SourceSlice{0, 1, 0, 4}));
    EXPECT_EQ(record.scale, 1);
    EXPECT_TRUE(record.only_adds());
  }
  EXPECT_EQ(tensor_of(plan.records[1], PartKind::delta_gain), 4);
  EXPECT_EQ(tensor_of(plan.records[1], PartKind::rank_gain), 5);

  const ImageLayout layout = make_image_layout(std::move(plan.records), {}, 4096).value();
  const auto shares = [&](std::size_t record, PartKind kind) { return layout.records[record].find(kind)->shares_storage; };
  EXPECT_FALSE(shares(0, PartKind::a));
  EXPECT_TRUE(shares(1, PartKind::a)) << "q and v have the same inputs";
  EXPECT_FALSE(shares(1, PartKind::b));
  EXPECT_FALSE(shares(2, PartKind::a));
  EXPECT_TRUE(shares(2, PartKind::b)) << "q and down have as many outputs";
}

TEST(VeraModules, DrawMatricesForTheWidestModulesOfFileAndConfig) {
  const auto drawn = [](const std::string& members, const char* more = nullptr) {
    LoraFixture fixture = vera(R"(, "save_projection": false)" + members);
    add_lambdas(fixture, kVeraV, 24);
    if (more != nullptr) add_lambdas(fixture, more, 48);
    const AdapterPlan plan = import_adapter(fixture).value();
    std::vector<std::vector<std::int64_t>> shapes;
    for (const auto& tensor : plan.derived) shapes.push_back(tensor->shape());
    EXPECT_EQ(shapes.size(), 2u);
    const AdapterRecord& record = *std::ranges::find(plan.records, 24, &AdapterRecord::out);
    EXPECT_EQ(record.find(PartKind::a)->slice, (SourceSlice{0, 4, 0, 48}));
    EXPECT_EQ(record.find(PartKind::b)->slice, (SourceSlice{0, 24, 0, 4}));
    const VeraProjection expected({.rank = 4, .in = shapes[0][1], .out = shapes[1][0], .seed = members.empty() ? 0u : 0xfffffffbu});
    EXPECT_EQ(derived_values(fixture, plan, record, PartKind::a), std::vector(expected.a().begin(), expected.a().end()));
    EXPECT_EQ(derived_values(fixture, plan, record, PartKind::b), std::vector(expected.b().begin(), expected.b().end()));
    return std::pair(shapes[0], shapes[1]);
  };
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(drawn(""), std::pair(Shape({4, 48}), Shape({24, 4})));
  EXPECT_EQ(drawn("", kVeraQ), std::pair(Shape({4, 48}), Shape({48, 4})));
  EXPECT_EQ(drawn("", kVeraDown), std::pair(Shape({4, 80}), Shape({48, 4})));
  EXPECT_EQ(drawn(R"(, "projection_prng_key": -5, "target_modules": ["v_proj", "up_proj"])"), std::pair(Shape({4, 48}), Shape({80, 4})))
      << "PEFT looks at what is targeted";
  EXPECT_EQ(drawn(R"(, "projection_prng_key": 1099511627771, "target_modules": "all-linear")"), std::pair(Shape({4, 80}), Shape({80, 4})))
      << "the low 32 bits of the key count";
}

TEST(VeraModules, ShareWhatIsDrawnWithOtherAdaptersOfTheBase) {
  const AdapterBase base = test_base();
  const TemporaryFolder root;
  std::vector<PreparedAdapter> adapters;
  for (const std::string name : {"first", "second"}) {
    LoraFixture fixture = vera(R"(, "save_projection": false)");
    add_lambdas(fixture, name == "first" ? kVeraV : "model.layers.1.self_attn.k_proj", 24);
    fixture.write(root.file(name));
    adapters.push_back(prepare_adapter(FolderPath(root.file(name)), base).value());
  }
  const auto projection = base.projections->find_or_make({.rank = 4, .in = 48, .out = 24, .seed = 0});
  EXPECT_GE(projection.use_count(), 1 + 2 * 2) << "here, and A and B of each adapter";
}

TEST(VeraModules, GiveAnyRowsOfADrawnMatrix) {
  const auto projection = std::make_shared<const VeraProjection>(ProjectionKey{.rank = 3, .in = 5, .out = 7, .seed = 1});
  const VeraMatrix b(projection, VeraMatrix::Which::b);
  EXPECT_EQ(b.shape(), (std::vector<std::int64_t>{7, 3}));
  const TemporaryFolder folder;
  small_lora().write(folder.path());
  const SafetensorsFile file = SafetensorsFile::open(folder.file("adapter_model.safetensors")).value();
  std::vector<float> rows(6);
  ASSERT_TRUE(b.compute(rows.data(), file, 4, 2, open_gate()));
  EXPECT_EQ(rows, std::vector(projection->b().begin() + 12, projection->b().begin() + 18));
}

TEST(VeraModules, LeaveStoredMatricesOutThatTheConfigDoesNotMean) {
  LoraFixture fixture = vera(R"(, "save_projection": false)");
  add_lambdas(fixture, kVeraV, 24);
  add_projection(fixture, 1, 1, 1);
  const AdapterPlan plan = import_adapter(fixture).value();
  EXPECT_EQ(plan.derived.size(), 2u);
  EXPECT_THAT(plan.warnings, ElementsAre(HasSubstr("save_projection is false")));
}

TEST(VeraModules, TakeStoredBiasesAndNamesOfRawStateDictionaries) {
  LoraFixture fixture = vera(R"(, "bias": "vera_only")");
  fixture.add("vera_A.default", {4, 48}, DType::f32, "module.base_model.").add("vera_B.default", {48, 4}, DType::f32, "base_model.");
  fixture.add(std::string(kVeraQ) + ".vera_lambda_b.default", {48}).add(std::string(kVeraQ) + ".vera_lambda_d.default", {4});
  fixture.add(std::string(kVeraQ) + ".base_layer.bias", {48}).add(std::string(kVeraV) + ".bias", {24});
  const AdapterPlan plan = import_adapter(fixture).value();
  ASSERT_EQ(plan.records.size(), 2u);
  EXPECT_EQ(tensor_of(plan.records[0], PartKind::bias_replacing), 4);
  EXPECT_EQ(plan.records[1].parts.size(), 1u);
  EXPECT_THAT(plan.warnings, IsEmpty());
}

TEST(VeraModules, RefuseMatricesThatAreMissingOrTooSmall) {
  const auto refusal = [](auto add) {
    LoraFixture fixture = vera();
    add_lambdas(fixture, kVeraQ, 48);
    add(fixture);
    return refusal_of(fixture);
  };
  const auto with = [&](std::int64_t in, std::int64_t out, std::int64_t rank = 4) {
    return refusal([&](LoraFixture& fixture) { add_projection(fixture, in, out, rank); });
  };
  EXPECT_EQ(with(48, 48), "served");
  EXPECT_EQ(with(64, 50), "served") << "of an adapter with further modules";
  EXPECT_THAT(refusal([](LoraFixture&) {}), AllOf(StartsWith("E_PROJECTION"), HasSubstr("vera_A and base_model.vera_B")));
  EXPECT_THAT(refusal([](LoraFixture& fixture) {
                fixture.add("vera_A", {4, 48}, DType::f32, "base_model.");
              }),
              AllOf(StartsWith("E_PROJECTION"), HasSubstr("expected base_model.vera_B")));
  EXPECT_THAT(refusal([](LoraFixture& fixture) {
                fixture.add("vera_B", {48, 4}, DType::f32, "base_model.");
              }),
              AllOf(StartsWith("E_PROJECTION"), HasSubstr("expected base_model.vera_A")));
  EXPECT_THAT(with(47, 48), AllOf(StartsWith("E_PROJECTION"), HasSubstr("vera_A"), HasSubstr("48 columns"), HasSubstr("[4, 47]")));
  EXPECT_THAT(with(48, 47), AllOf(StartsWith("E_PROJECTION"), HasSubstr("vera_B"), HasSubstr("48 rows"), HasSubstr("[47, 4]")));
  EXPECT_THAT(with(48, 48, 5), AllOf(StartsWith("E_RANK"), HasSubstr("vera_A"), HasSubstr("4 rows")));
  EXPECT_THAT(refusal([](LoraFixture& fixture) {
                fixture.add("vera_A", {4, 48}, DType::f32, "base_model.").add("vera_B", {48, 3}, DType::f32, "base_model.");
              }),
              AllOf(StartsWith("E_RANK"), HasSubstr("vera_B"), HasSubstr("4 columns")));
  EXPECT_THAT(refusal([](LoraFixture& fixture) {
                fixture.add("vera_A", {192}, DType::f32, "base_model.").add("vera_B", {48, 4}, DType::f32, "base_model.");
              }),
              AllOf(StartsWith("E_SHAPE"), HasSubstr("vera_A")));
}

TEST(VeraModules, RefuseVectorsThatDoNotFit) {
  const auto refusal = [](std::vector<std::int64_t> b, std::vector<std::int64_t> d) {
    LoraFixture fixture = vera();
    add_projection(fixture, 80, 80);
    add_lambdas(fixture, kVeraV, 24);
    if (!b.empty()) fixture.add(std::string(kVeraQ) + ".vera_lambda_b", std::move(b));
    if (!d.empty()) fixture.add(std::string(kVeraQ) + ".vera_lambda_d", std::move(d));
    return refusal_of(fixture);
  };
  EXPECT_EQ(refusal({48}, {4}), "served");
  EXPECT_THAT(refusal({}, {4}), AllOf(StartsWith("E_PAIR"), HasSubstr(kVeraQ), HasSubstr("lacks vera_lambda_b")));
  EXPECT_THAT(refusal({48}, {}), AllOf(StartsWith("E_PAIR"), HasSubstr(kVeraQ), HasSubstr("lacks vera_lambda_d")));
  EXPECT_THAT(refusal({48}, {5}), AllOf(StartsWith("E_RANK"), HasSubstr("vera_lambda_d"), HasSubstr("[4]"), HasSubstr("[5]")));
  EXPECT_THAT(refusal({47}, {4}), AllOf(StartsWith("E_SHAPE"), HasSubstr(kVeraQ), HasSubstr("48 outputs"), HasSubstr("47")));
  EXPECT_THAT(refusal({48, 1}, {4}), AllOf(StartsWith("E_SHAPE"), HasSubstr("1 dimensions")));
  EXPECT_THAT(refusal({48}, {1, 4}), AllOf(StartsWith("E_SHAPE"), HasSubstr("1 dimensions")));
  LoraFixture wrong_base = vera();
  add_projection(wrong_base, 64, 64);
  add_lambdas(wrong_base, kVeraQ, 64);
  EXPECT_THAT(refusal_of(wrong_base), AllOf(StartsWith("E_WRONG_BASE"), HasSubstr("64 outputs")));
}

TEST(VeraModules, RefuseRanksAboveTheServersAndWhatIsNoPartOfThem) {
  LoraFixture fixture = vera();
  add_projection(fixture, 80, 80);
  add_lambdas(fixture, kVeraV, 24);
  const Result<AdapterPlan> above = import_adapter(fixture, nullptr, 3);
  ASSERT_FALSE(above);
  EXPECT_EQ(above.error().code, "E_RANK");
  EXPECT_THAT(above.error().message, HasSubstr("limit of 3"));
  for (const char* name : {".vera_lambda_x", ".vera_A", ".lora_A.weight"}) {
    LoraFixture unknown = fixture;
    unknown.add(std::string(kVeraV) + name, {4, 48});
    EXPECT_THAT(refusal_of(unknown), AllOf(StartsWith("E_UNKNOWN_TENSOR"), HasSubstr(name), HasSubstr("a VeRA adapter"))) << name;
  }
  LoraFixture twice = fixture;
  twice.add("vera_A.default", {4, 80}, DType::f32, "base_model.");
  EXPECT_THAT(refusal_of(twice), AllOf(StartsWith("E_UNKNOWN_TENSOR"), HasSubstr("same part")));
}

}  // namespace
}  // namespace slora
