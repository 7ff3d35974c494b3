// Records that do more than add B z and a bias, against the formula of RecordView in double precision.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>

#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

constexpr Site kSite{0, SiteKind::qkv};

// y [out] = W x + c, without records.
struct BaseProduct {
  std::int32_t out, in;
  std::vector<float> w;     // [out, in]
  std::vector<float> bias;  // [out] or empty
};

using MadeRecords = std::vector<MadeRecord>;

struct Segment {
  std::int32_t row_begin, row_count;
  std::size_t adapter;
  float weight = 1;
};

// A batch of `rows` rows, some of them under segments of the adapters.
struct Setting {
  std::int32_t rows;
  BaseProduct base;
  std::vector<MadeRecords> adapters;
  std::vector<Segment> segments;
  Cuts cuts{};
};

// One row's records with the weights of their segments.
struct WeightedRecord {
  const MadeRecord* record;
  double weight;
};

// W (factors * x); no factors: W x.
std::vector<double> product(const BaseProduct& base, const float* x, const float* factors = nullptr) {
  std::vector<double> y(static_cast<std::size_t>(base.out));
  for (std::size_t n = 0; n < y.size(); ++n) {
    for (std::int32_t k = 0; k < base.in; ++k) {
      y[n] += static_cast<double>(base.w[n * static_cast<std::size_t>(base.in) + static_cast<std::size_t>(k)]) * x[k] *
              (factors == nullptr ? 1.0 : static_cast<double>(factors[k]));
    }
  }
  return y;
}

double at(const std::vector<float>& values, std::int32_t index, double otherwise) {
  return values.empty() ? otherwise : static_cast<double>(values[static_cast<std::size_t>(index)]);
}

// What the low-rank part adds to the record's slice, without its weight and scale.
std::vector<double> delta_of(const BaseProduct& base, const MadeRecord& record, const float* x) {
  std::vector<double> delta(static_cast<std::size_t>(record.out));
  for (std::int32_t j = 0; j < record.rank; ++j) {
    const float* const a = record.a.data() + j * record.in;
    double z = 0;
    for (std::int32_t k = 0; k < record.in; ++k) z += static_cast<double>(a[k]) * x[k];
    const std::vector<double> scaled = record.low_rank == LowRank::hadamard ? product(base, x, a) : std::vector<double>{};
    for (std::int32_t n = 0; n < record.out; ++n) {
      const double factor = scaled.empty() ? z * at(record.rank_gain, j, 1) : scaled[static_cast<std::size_t>(record.slice_begin + n)];
      delta[static_cast<std::size_t>(n)] += at(record.delta_gain, n, 1) * at(record.b, j * record.out + n, 0) * factor;
    }
  }
  return delta;
}

// S x
std::vector<double> sparse_product(const MadeRecord& record, const float* x) {
  std::vector<double> sums(static_cast<std::size_t>(record.out));
  std::size_t i = 0;
  for (std::size_t n = 0; n < record.sparse_ends.size(); ++n) {
    for (; i < static_cast<std::size_t>(record.sparse_ends[n]); ++i)
      sums[n] += static_cast<double>(record.sparse_values[i]) * x[record.sparse_columns[i]];
  }
  return sums;
}

std::vector<double> row_of(const BaseProduct& base, const std::vector<WeightedRecord>& records, const float* x) {
  std::vector<double> y = product(base, x);
  std::vector<double> gain(y.size(), 1), constant(y.size(), 0);
  std::ranges::copy(base.bias, constant.begin());
  for (const auto& [record, weight] : records) {
    const std::vector<double> scaled = product(base, x, record->input_gain.empty() ? nullptr : record->input_gain.data());
    for (std::int32_t i = 0; i < record->out; ++i) {
      const auto n = static_cast<std::size_t>(record->slice_begin + i);
      if (!record->input_gain.empty()) y[n] = scaled[n];
      if (!record->gain.empty()) gain[n] = at(record->gain, i, 1);
      if (record->bias_mode == BiasMode::replace) constant[n] = at(record->bias, i, constant[n]);
    }
  }
  for (const auto& [record, weight] : records) {
    const std::vector<double> delta = delta_of(base, *record, x), sparse = sparse_product(*record, x);
    for (std::int32_t i = 0; i < record->out; ++i) {
      const auto n = static_cast<std::size_t>(record->slice_begin + i);
      y[n] += weight * (static_cast<double>(record->scale) * delta[static_cast<std::size_t>(i)] + sparse[static_cast<std::size_t>(i)]);
      if (record->bias_mode == BiasMode::add) constant[n] += weight * at(record->bias, i, 0);
    }
  }
  for (std::size_t n = 0; n < y.size(); ++n) y[n] = gain[n] * y[n] + constant[n];
  return y;
}

class OpsGeneralRecords : public ::testing::TestWithParam<Variant> {
 protected:
  [[nodiscard]] bool has_sparse_records() const { return backend_->adapter_format().has_sparse_records; }

  [[nodiscard]] double tolerance() const {
    // 255 levels of weights and of inputs, which are about normal once they are rotated: the largest of 71 is 2.5 times their deviation, in
    // a group whose blocks differ by up to sqrt(2) 3.5 times; rounding errs by 3.5 / 127 / sqrt(12) = 0.8 %, weights and inputs together by
    // 1.1 %. Rows whose parts nearly cancel err by more of what is left.
    if (GetParam().weights != WeightStorage::bf16) return 2e-2;
    return backend_->product_dtype() == DType::f32 ? 2e-6 : 5e-3;  // else inputs are rounded to bf16 again
  }

  BaseProduct make_base(std::int32_t out, std::int32_t in, bool has_bias) {
    BaseProduct base{out, in, numbers_.vector(out * in), numbers_.vector(has_bias ? out : 0)};
    if (GetParam().weights == WeightStorage::int4) {
      for (float& number : base.w) number = std::clamp(std::nearbyint(8 * number), -8.0f, 7.0f) / 8;  // which four bits keep
    }
    return base;
  }

  MadeRecord record_of(std::int32_t slice_begin, std::int32_t out, std::int32_t in, std::int32_t rank) {
    return make_record(numbers_, slice_begin, out, in, rank);
  }

  // Gains are around 1, as those of adapters.
  std::vector<float> gains(std::int32_t count) {
    std::vector<float> out = numbers_.vector(count);
    for (float& gain : out) gain = 1 + gain / 2;
    return out;
  }

  // Gives the record a sparse matrix with this many elements, some of them of the same places, some rows without any.
  void add_sparse(MadeRecord& record, std::int32_t count) {
    std::vector<std::int32_t> counts(static_cast<std::size_t>(record.out));
    for (std::int32_t i = 0; i < count; ++i) ++counts[static_cast<std::size_t>(i * i % record.out)];
    std::int32_t end = 0;
    for (const std::int32_t row_count : counts) record.sparse_ends.push_back(end += row_count);
    for (std::int32_t i = 0; i < count; ++i) record.sparse_columns.push_back(i * 7 % record.in);
    record.sparse_values = numbers_.vector(count);
  }

  // Both kinds of products. Rows in no segment must be exactly the base's.
  void expect_the_formula(const Setting& setting, const std::string& what);

  std::unique_ptr<Backend> backend_ = open(GetParam());
  Ops& ops_ = backend_->ops();
  Numbers numbers_{41};
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsGeneralRecords, ::testing::ValuesIn(ops_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });
INSTANTIATE_TEST_SUITE_P(WeightsInBytes, OpsGeneralRecords, ::testing::ValuesIn(ops_int8_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });
INSTANTIATE_TEST_SUITE_P(WeightsInFourBits, OpsGeneralRecords, ::testing::ValuesIn(ops_int4_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

void OpsGeneralRecords::expect_the_formula(const Setting& setting, const std::string& what) {
  const std::int32_t rows = setting.rows, out = setting.base.out, in = setting.base.in;
  std::deque<MadeAdapter> adapters;
  for (const MadeRecords& records : setting.adapters) adapters.emplace_back(*backend_, kSite, records, setting.cuts);
  std::vector<AdapterSegment> segments;
  std::int32_t z_cols = 0;
  std::vector<std::vector<WeightedRecord>> records_of_row(static_cast<std::size_t>(rows));
  for (const Segment& segment : setting.segments) {
    const AdapterView& view = adapters[segment.adapter].view();
    segments.push_back({segment.row_begin, segment.row_count, z_cols, segment.weight, &view});
    z_cols += view.z_cols_max;
    for (std::int32_t row = segment.row_begin; row < segment.row_begin + segment.row_count; ++row) {
      for (const MadeRecord& record : setting.adapters[segment.adapter]) {
        records_of_row[static_cast<std::size_t>(row)].push_back({&record, segment.weight});
      }
    }
  }
  const MadeSegments batch(*backend_, segments, z_cols);
  LinearWeight weight = pack(*backend_, out, in, setting.base.w, DType::f32);
  weight.bias = backend_->make_vector(setting.base.bias);
  const std::vector<float> x = numbers_.vector(rows * in);
  const Matrix inputs(*backend_, backend_->product_dtype(), rows, in, x), z(*backend_, DType::f32, rows, z_cols);
  const Matrix y(*backend_, backend_->activation_dtype(), rows, out), base(*backend_, backend_->activation_dtype(), rows, out);
  const Matrix gated(*backend_, backend_->product_dtype(), rows, out / 2);
  ops_.shrink(z, inputs, batch, kSite);
  ops_.linear(y, inputs, weight, z, batch, kSite);
  ops_.linear(base, inputs, weight, {}, {}, kSite);
  ops_.linear_gated(gated, inputs, weight, z, batch, kSite, Activation::silu);
  const std::vector<float> got = values_of(y), got_gated = values_of(gated);
  for (std::int32_t t = 0; t < rows; ++t) {
    const auto& records = records_of_row[static_cast<std::size_t>(t)];
    const std::vector<float> row(got.begin() + t * out, got.begin() + (t + 1) * out);
    EXPECT_LT(relative_error(row, row_of(setting.base, records, x.data() + t * in)), tolerance()) << what << ", row " << t;
    std::vector<double> want_gated;
    for (std::int32_t i = 0; i < out / 2; ++i) {
      const double gate = row[static_cast<std::size_t>(i)];
      want_gated.push_back(gate / (1 + std::exp(-gate)) * row[static_cast<std::size_t>(out / 2 + i)]);
    }
    const std::vector<float> gated_row(got_gated.begin() + t * (out / 2), got_gated.begin() + (t + 1) * (out / 2));
    EXPECT_LT(relative_error(gated_row, want_gated), tolerance()) << what << ", gated row " << t;
    if (records.empty()) {
      EXPECT_TRUE(same_bits(y.tensor().rows_from(t, 1), base.tensor().rows_from(t, 1))) << what << ", row " << t << " of the base";
    }
  }
}

struct NamedRecord {
  std::string name;
  MadeRecord record;
};

TEST_P(OpsGeneralRecords, EveryPartAloneChangesItsSliceAsItsFormulaSays) {
  constexpr std::int32_t kBegin = 37, kOut = 81, kIn = 71;
  std::vector<NamedRecord> parts;
  const auto add = [&](const std::string& name, std::int32_t rank, auto change) {
    change(parts.emplace_back(name, record_of(kBegin, kOut, kIn, rank)).record);
  };
  add("input gain", 0, [&](MadeRecord& record) { record.input_gain = gains(kIn); });
  add("input gain, low rank", 4, [&](MadeRecord& record) { record.input_gain = gains(kIn); });
  add("rank gain", 3, [&](MadeRecord& record) { record.rank_gain = gains(3); });
  add("delta gain", 5, [&](MadeRecord& record) { record.delta_gain = gains(kOut); });
  add("gain", 0, [&](MadeRecord& record) { record.gain = gains(kOut); });
  add("gain, low rank", 6, [&](MadeRecord& record) { record.gain = gains(kOut); });
  for (const BiasMode mode : {BiasMode::add, BiasMode::replace}) {
    add(mode == BiasMode::add ? "gain, added bias" : "gain, bias", 2, [&](MadeRecord& record) {
      record.gain = gains(kOut);
      record.bias = numbers_.vector(kOut);
      record.bias_mode = mode;
    });
  }
  for (std::int32_t rank = 1; rank <= 5; ++rank) {
    add(fmt::format("hadamard of rank {}", rank), rank, [&](MadeRecord& record) { record.low_rank = LowRank::hadamard; });
  }
  add("hadamard, delta gain", 3, [&](MadeRecord& record) {
    record.low_rank = LowRank::hadamard;
    record.delta_gain = gains(kOut);
  });
  if (has_sparse_records()) {
    add("sparse", 0, [&](MadeRecord& record) { add_sparse(record, 500); });
    add("sparse of few elements", 0, [&](MadeRecord& record) { add_sparse(record, 3); });
    add("sparse, long columns", 0, [&](MadeRecord& record) {
      add_sparse(record, 300);
      record.has_long_columns = true;
    });
    add("sparse, low rank, gain", 4, [&](MadeRecord& record) {
      add_sparse(record, 200);
      record.gain = gains(kOut);
    });
  }
  for (const NamedRecord& part : parts) {
    for (const bool has_bias : {false, true}) {
      const Setting setting{11, make_base(150, kIn, has_bias), {{part.record}}, {{2, 1, 0}, {3, 4, 0, 0.75f}, {10, 1, 0}}};
      expect_the_formula(setting, part.name + (has_bias ? ", base with bias" : ""));
    }
  }
}

// Every part that one record can have at once.
MadeRecord with_all_parts(MadeRecord record, const std::function<std::vector<float>(std::int32_t)>& gains, BiasMode mode) {
  record.input_gain = gains(record.in);
  if (record.low_rank == LowRank::sum) record.rank_gain = gains(record.rank);
  record.delta_gain = gains(record.out);
  record.gain = gains(record.out);
  record.bias = gains(record.out);
  record.bias_mode = mode;
  return record;
}

TEST_P(OpsGeneralRecords, AllPartsTogetherBesidePlainRecordsAreTheFormulaHoweverTilesAreCut) {
  constexpr std::int32_t kIn = 150;
  const auto draw = [&](std::int32_t count) { return gains(count); };
  MadeRecords general = {record_of(0, 70, kIn, 5), record_of(70, 33, kIn, 16), record_of(103, 47, kIn, 7)};
  general[1].low_rank = LowRank::hadamard;
  general[0] = with_all_parts(general[0], draw, BiasMode::add);
  general[1] = with_all_parts(general[1], draw, BiasMode::replace);
  MadeRecords plain = {record_of(0, 70, kIn, 4), record_of(103, 47, kIn, 1)};
  plain[1].bias = numbers_.vector(47);
  plain[1].bias_mode = BiasMode::replace;
  if (has_sparse_records()) {
    add_sparse(general[0], 700);
    add_sparse(general[2], 400);
  }
  MadeRecords magnitudes = {record_of(0, 70, kIn, 8), record_of(70, 33, kIn, 8)};
  for (MadeRecord& record : magnitudes) record.gain = gains(record.out);
  for (const Cuts cuts : {Cuts{}, Cuts{1, 64}, Cuts{3, 1 << 20}, Cuts{2, 128}}) {
    for (const bool has_bias : {false, true}) {
      const Setting setting{.rows = 23,
                            .base = make_base(150, kIn, has_bias),
                            .adapters = {general, plain, magnitudes},
                            .segments = {{1, 5, 0}, {6, 4, 1}, {10, 1, 2}, {12, 9, 2}, {21, 1, 1}, {22, 1, 0}},
                            .cuts = cuts};
      expect_the_formula(setting, fmt::format("tiles of {} x {}{}", cuts.tile_rows, cuts.tile_cols, has_bias ? ", base with bias" : ""));
    }
  }
}

TEST_P(OpsGeneralRecords, InputGainsOfAllOutputsAreTheFormula) {
  constexpr std::int32_t kOut = 70, kIn = 131;
  MadeRecord alone = record_of(0, kOut, kIn, 0);
  alone.input_gain = gains(kIn);
  MadeRecord with_rank = record_of(0, kOut, kIn, 6);
  with_rank.input_gain = gains(kIn);
  MadeRecord hadamard = record_of(0, kOut, kIn, 2);
  hadamard.low_rank = LowRank::hadamard;
  hadamard.input_gain = gains(kIn);
  expect_the_formula({20, make_base(kOut, kIn, true), {{alone}, {with_rank}, {hadamard}}, {{0, 3, 0}, {4, 9, 1}, {13, 2, 2}, {16, 1, 0}}},
                     "");
}

// As where shards split the inputs: one shard adds to some outputs, and all outputs have a gain in a record of its own.
TEST_P(OpsGeneralRecords, AGainMayBeInARecordOfItsOwnForMoreOutputs) {
  constexpr std::int32_t kOut = 96, kIn = 60;
  MadeRecord adds = record_of(32, 40, kIn, 3);
  adds.bias = numbers_.vector(40);
  MadeRecord gain = record_of(0, kOut, kIn, 0);
  gain.gain = gains(kOut);
  gain.input_gain = gains(kIn);
  for (const BiasMode mode : {BiasMode::add, BiasMode::replace}) {
    adds.bias_mode = mode;
    expect_the_formula({9, make_base(kOut, kIn, true), {{adds, gain}}, {{1, 6, 0}}}, mode == BiasMode::add ? "added bias" : "bias");
  }
}

TEST_P(OpsGeneralRecords, OverlappingSegmentsAddUpWhicheverSlicesTheyHave) {
  constexpr std::int32_t kOut = 90, kIn = 40;
  MadeRecords first = {record_of(0, 50, kIn, 3)}, second = {record_of(20, 60, kIn, 4)}, third = {record_of(20, 30, kIn, 2)};
  first[0].delta_gain = gains(50);
  second[0].low_rank = LowRank::hadamard;
  third[0].low_rank = LowRank::hadamard;
  if (has_sparse_records()) add_sparse(second[0], 300);
  MadeRecords plain = {record_of(0, kOut, kIn, 2)};
  plain[0].bias = numbers_.vector(kOut);
  expect_the_formula({.rows = 24,
                      .base = make_base(kOut, kIn, true),
                      .adapters = {first, second, third, plain},
                      .segments = {{8, 12, 3, 0.75f}, {2, 9, 0, 0.5f}, {6, 8, 1, 0.25f}, {0, 1, 3}, {5, 2, 2}}},
                     "");
}

TEST_P(OpsGeneralRecords, ManyRowsAndManyRanksAreTheFormula) {
  constexpr std::int32_t kOut = 198, kIn = 132;
  MadeRecord vera = record_of(0, 100, kIn, 64), dora = record_of(100, 98, kIn, 9), hadamard = record_of(0, 60, kIn, 5);
  vera.rank_gain = gains(64);
  vera.delta_gain = gains(100);
  dora.gain = gains(98);
  hadamard.low_rank = LowRank::hadamard;
  if (has_sparse_records()) add_sparse(dora, 900);
  expect_the_formula({100 / GetParam().stride,
                      make_base(kOut, kIn, true),
                      {{vera, dora}, {hadamard}},
                      {{0, 40 / GetParam().stride, 0}, {60 / GetParam().stride, 35 / GetParam().stride, 1}}},
                     "");
}

// Rows of ordinary adapters and of the base have the bits of a batch without general records.
TEST_P(OpsGeneralRecords, OtherRowsKeepTheirBits) {
  constexpr std::int32_t kRows = 30, kOut = 120, kIn = 77;
  const BaseProduct base = make_base(kOut, kIn, true);
  LinearWeight weight = pack(*backend_, kOut, kIn, base.w, DType::f32);
  weight.bias = backend_->make_vector(base.bias);
  MadeRecord plain = record_of(10, 100, kIn, 5);
  plain.bias = numbers_.vector(100);
  MadeRecord general = record_of(0, kOut, kIn, 3);
  general.input_gain = gains(kIn);
  general.gain = gains(kOut);
  const MadeAdapter a(*backend_, kSite, {plain}, {}), b(*backend_, kSite, {general}, {});
  const Matrix x(*backend_, backend_->product_dtype(), kRows, kIn, numbers_.vector(kRows * kIn)), z(*backend_, DType::f32, kRows, 5);
  const auto run = [&](const std::vector<AdapterSegment>& segments) {
    const MadeSegments batch(*backend_, segments, 5);
    Matrix y(*backend_, backend_->activation_dtype(), kRows, kOut), gated(*backend_, backend_->product_dtype(), kRows, kOut / 2);
    ops_.shrink(z, x, batch, kSite);
    ops_.linear(y, x, weight, z, batch, kSite);
    ops_.linear_gated(gated, x, weight, z, batch, kSite, Activation::silu);
    return std::pair(std::move(y), std::move(gated));
  };
  const auto mixed =
      run({{0, 2, 0, 1.0f, &a.view()}, {2, 9, 0, 1.0f, &b.view()}, {12, 12, 0, 1.0f, &a.view()}, {26, 1, 0, 1.0f, &b.view()}});
  const auto apart = run({{0, 2, 0, 1.0f, &a.view()}, {12, 12, 0, 1.0f, &a.view()}});
  for (std::int32_t row = 0; row < kRows; ++row) {
    const bool is_general = (row >= 2 && row < 11) || row == 26;
    EXPECT_EQ(same_bits(mixed.first.tensor().rows_from(row, 1), apart.first.tensor().rows_from(row, 1)), !is_general) << row;
    EXPECT_EQ(same_bits(mixed.second.tensor().rows_from(row, 1), apart.second.tensor().rows_from(row, 1)), !is_general) << row;
  }
}

}  // namespace
}  // namespace slora::testing
