// Records that do more than add B (A x) and a bias, against their formula (ops/record_view.h) in double precision.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/testing/emulated_backend.h"
#include "backend/testing/op_fixture.h"

namespace slora::cuda {
namespace {

using slora::testing::Cuts;
using slora::testing::MadeAdapter;
using slora::testing::MadeRecord;
using slora::testing::MadeSegments;
using slora::testing::Matrix;
using slora::testing::Numbers;

constexpr Site kGeneralSite{1, SiteKind::qkv};
constexpr double kRoundings = 5e-3;  // of operands and results to bf16

struct GeneralRecord {
  MadeRecord made;
  std::vector<float> input_gain{}, rank_gain{}, delta_gain{}, gain{};
  LowRank low_rank = LowRank::sum;
};

class GeneralAdapter {
 public:
  GeneralAdapter(Backend& backend, std::vector<GeneralRecord> records, Cuts cuts = {})
      : backend_(backend), records_(std::move(records)), made_(backend, kGeneralSite, parts_of(records_), cuts) {
    view_.records = made_.view().records;
    view_.sites = made_.view().sites;
    view_.z_cols_max = made_.view().z_cols_max;
    for (std::size_t i = 0; i < records_.size(); ++i) {
      view_.records[i].low_rank = records_[i].low_rank;
      view_.records[i].input_gain = place(records_[i].input_gain);
      view_.records[i].rank_gain = place(records_[i].rank_gain);
      view_.records[i].delta_gain = place(records_[i].delta_gain);
      view_.records[i].gain = place(records_[i].gain);
    }
  }

  [[nodiscard]] const AdapterView& view() const { return view_; }
  [[nodiscard]] const std::vector<GeneralRecord>& records() const { return records_; }

 private:
  static std::vector<MadeRecord> parts_of(const std::vector<GeneralRecord>& records) {
    std::vector<MadeRecord> made;
    for (const GeneralRecord& record : records) made.push_back(record.made);
    return made;
  }
  const float* place(const std::vector<float>& numbers) {
    if (numbers.empty()) return nullptr;
    memory_.push_back(slora::testing::uploaded(backend_, numbers.data(), numbers.size() * sizeof(float)));
    return reinterpret_cast<const float*>(memory_.back().data());
  }

  Backend& backend_;
  const std::vector<GeneralRecord> records_;
  const MadeAdapter made_;
  std::deque<Buffer> memory_;
  AdapterView view_;
};

// Consecutive rows under an adapter.
struct Use {
  std::int32_t row_begin, row_count;
  float weight;
  const GeneralAdapter* adapter;
};

// One product of a model, with or without a bias, and rows that go through it.
class Product {
 public:
  static constexpr std::int32_t kRows = 40, kOut = 90, kIn = 72;

  Product(EmulatedBackend& backend, Numbers& numbers, bool has_bias, DType dtype)
      : backend_(backend),
        dtype_(dtype),
        w_(numbers.vector(kOut * kIn)),
        x_(numbers.vector(kRows * kIn)),
        bias_(numbers.vector(has_bias ? kOut : 0)),
        weight_(slora::testing::pack(backend, kOut, kIn, w_, DType::bf16)),
        in_(backend, DType::bf16, kRows, kIn, x_) {
    weight_.bias = backend.make_vector(bias_);
  }

  // y of rows [row_begin, row_begin + row_count), whose uses are counted from row 0 on.
  [[nodiscard]] Matrix compute(const std::vector<Use>& uses, std::int32_t row_begin = 0, std::int32_t row_count = kRows) {
    std::vector<AdapterSegment> segments;
    std::int32_t z_cols = 0;
    for (const Use& use : uses) {
      const std::int32_t begin = std::max(row_begin, use.row_begin);
      const std::int32_t end = std::min(row_begin + row_count, use.row_begin + use.row_count);
      if (begin >= end) continue;
      segments.push_back({begin - row_begin, end - begin, z_cols, use.weight, &use.adapter->view()});
      z_cols += use.adapter->view().z_cols_max;
    }
    const MadeSegments batch(backend_, segments, z_cols);
    const Tensor x = in_.tensor().rows_from(row_begin, row_count);
    const Matrix z(backend_, DType::f32, row_count, std::max(z_cols, 1));
    Matrix y(backend_, dtype_, row_count, kOut);
    backend_.ops().shrink(z, x, batch, kGeneralSite);
    backend_.ops().linear(y, x, weight_, z, batch, kGeneralSite);
    return y;
  }

  [[nodiscard]] std::vector<double> expected(const std::vector<Use>& uses) const {
    std::vector<double> y;
    for (std::int32_t row = 0; row < kRows; ++row) {
      const std::vector<double> of_row = expected_row(uses, row);
      y.insert(y.end(), of_row.begin(), of_row.end());
    }
    return y;
  }

 private:
  // W x of one output, where each element of x is multiplied by a factor.
  template <class Factor>
  [[nodiscard]] double product(std::int32_t row, std::int32_t out, const Factor& factor) const {
    double sum = 0;
    for (std::int32_t k = 0; k < kIn; ++k) {
      sum += static_cast<double>(w_[static_cast<std::size_t>(out * kIn + k)]) * factor(k) * x_[static_cast<std::size_t>(row * kIn + k)];
    }
    return sum;
  }

  [[nodiscard]] double low_rank(const GeneralRecord& record, std::int32_t row, std::int32_t n) const {
    double delta = 0;
    for (std::int32_t rank = 0; rank < record.made.rank; ++rank) {
      const float* const a = record.made.a.data() + rank * kIn;
      if (record.low_rank == LowRank::hadamard) {
        delta += record.made.b[static_cast<std::size_t>(rank * record.made.out + n)] *
                 product(row, record.made.slice_begin + n, [&](std::int32_t k) { return static_cast<double>(a[k]); });
        continue;
      }
      double z = 0;
      for (std::int32_t k = 0; k < kIn; ++k) z += static_cast<double>(a[k]) * x_[static_cast<std::size_t>(row * kIn + k)];
      if (!record.rank_gain.empty()) z *= record.rank_gain[static_cast<std::size_t>(rank)];
      delta += record.made.b[static_cast<std::size_t>(rank * record.made.out + n)] * z;
    }
    return delta;
  }

  [[nodiscard]] std::vector<double> expected_row(const std::vector<Use>& uses, std::int32_t row) const {
    std::vector<double> y(kOut), gain(kOut, 1.0), c(kOut);
    for (std::int32_t n = 0; n < kOut; ++n) {
      const auto at = static_cast<std::size_t>(n);
      y[at] = product(row, n, [](std::int32_t) { return 1.0; });
      if (!bias_.empty()) c[at] = bias_[at];
    }
    const auto for_each_record = [&](const auto& visit) {
      for (const Use& use : uses) {
        if (row < use.row_begin || row >= use.row_begin + use.row_count) continue;
        for (const GeneralRecord& record : use.adapter->records()) visit(use, record);
      }
    };
    for_each_record([&](const Use&, const GeneralRecord& record) {
      const auto factor = [&](std::int32_t k) { return static_cast<double>(record.input_gain[static_cast<std::size_t>(k)]); };
      for (std::int32_t n = 0; n < record.made.out && !record.input_gain.empty(); ++n) {
        y[static_cast<std::size_t>(record.made.slice_begin + n)] = product(row, record.made.slice_begin + n, factor);
      }
    });
    for_each_record([&](const Use& use, const GeneralRecord& record) {
      for (std::int32_t n = 0; n < record.made.out; ++n) {
        const auto i = static_cast<std::size_t>(n), at = static_cast<std::size_t>(record.made.slice_begin + n);
        y[at] += use.weight * record.made.scale * (record.delta_gain.empty() ? 1.0 : record.delta_gain[i]) * low_rank(record, row, n);
        if (!record.gain.empty()) gain[at] = record.gain[i];
        if (record.made.bias.empty()) continue;
        const bool replaces = record.made.bias_mode == BiasMode::replace;
        if (replaces && !bias_.empty()) c[at] -= bias_[at];
        c[at] += (replaces ? 1.0f : use.weight) * record.made.bias[i];
      }
    });
    for (std::size_t n = 0; n < y.size(); ++n) y[n] = gain[n] * y[n] + c[n];
    return y;
  }

  EmulatedBackend& backend_;
  const DType dtype_;
  const std::vector<float> w_, x_, bias_;
  LinearWeight weight_;
  const Matrix in_;
};

class GeneralRecords : public ::testing::Test {
 protected:
  ~GeneralRecords() override {
    for (const DeviceFault& fault : backend_.device().take_faults()) ADD_FAILURE() << name_of(fault.kind) << ": " << fault.what;
  }

  [[nodiscard]] GeneralRecord record(std::int32_t slice_begin, std::int32_t out, std::int32_t rank) {
    return {slora::testing::make_record(numbers_, slice_begin, out, Product::kIn, rank)};
  }
  // As DoRA, on two slices of which one has a bias of its own.
  [[nodiscard]] std::unique_ptr<GeneralAdapter> with_gains(Cuts cuts = {}) {
    std::vector<GeneralRecord> records = {record(0, 40, 5), record(40, 33, 16)};
    records[0].gain = numbers_.vector(40);
    records[1].gain = numbers_.vector(33);
    records[1].made.bias = numbers_.vector(33);
    return std::make_unique<GeneralAdapter>(backend_, std::move(records), cuts);
  }
  // As VeRA.
  [[nodiscard]] std::unique_ptr<GeneralAdapter> with_inner_gains(std::int32_t rank = 19) {
    std::vector<GeneralRecord> records = {record(8, 56, rank)};
    records[0].rank_gain = numbers_.vector(rank);
    records[0].delta_gain = numbers_.vector(56);
    return std::make_unique<GeneralAdapter>(backend_, std::move(records));
  }
  // Without A and B, as IA3.
  [[nodiscard]] std::unique_ptr<GeneralAdapter> with_a_gain_alone(BiasMode mode = BiasMode::add) {
    std::vector<GeneralRecord> records = {record(17, 61, 0)};
    records[0].gain = numbers_.vector(61);
    records[0].made.bias = numbers_.vector(61);
    records[0].made.bias_mode = mode;
    return std::make_unique<GeneralAdapter>(backend_, std::move(records));
  }
  // As IA3 where it multiplies inputs, with everything else that the same record may have on the second slice.
  [[nodiscard]] std::unique_ptr<GeneralAdapter> with_an_input_gain() {
    std::vector<GeneralRecord> records = {record(0, 40, 0), record(40, 50, 5)};
    records[0].input_gain = numbers_.vector(Product::kIn);
    records[1].input_gain = numbers_.vector(Product::kIn);
    records[1].gain = numbers_.vector(50);
    records[1].made.bias = numbers_.vector(50);
    return std::make_unique<GeneralAdapter>(backend_, std::move(records));
  }
  // As HiRA, on one slice next to a plain record.
  [[nodiscard]] std::unique_ptr<GeneralAdapter> with_hadamard(std::int32_t rank, Cuts cuts = {}) {
    std::vector<GeneralRecord> records = {record(3, 41, rank), record(50, 40, 4)};
    records[0].low_rank = LowRank::hadamard;
    records[0].delta_gain = numbers_.vector(41);
    return std::make_unique<GeneralAdapter>(backend_, std::move(records), cuts);
  }
  [[nodiscard]] std::unique_ptr<GeneralAdapter> plain() {
    std::vector<GeneralRecord> records = {record(0, 40, 7), record(40, 50, 16)};
    records[1].made.bias = numbers_.vector(50);
    return std::make_unique<GeneralAdapter>(backend_, std::move(records));
  }

  EmulatedBackend backend_{{}};
  Numbers numbers_{23};
};

TEST_F(GeneralRecords, GainsMultiplyWhatTheirFormulaSays) {
  for (const bool has_bias : {true, false}) {
    for (const DType dtype : {DType::bf16, DType::f32}) {
      Product product(backend_, numbers_, has_bias, dtype);
      const auto gains = with_gains(), cut = with_gains({.tile_rows = 3, .tile_cols = 64}), inner = with_inner_gains();
      const auto deep = with_inner_gains(140), alone = with_a_gain_alone(), lora = plain();
      const auto replacing = with_a_gain_alone(has_bias ? BiasMode::replace : BiasMode::add);
      // Rows 0 and 19 are the base's; on rows 4 to 6 and 30 to 39 two adapters add up.
      const std::vector<Use> uses = {{1, 6, 1, gains.get()},      {4, 3, 0.5f, inner.get()},  {7, 2, 1, cut.get()},
                                     {9, 10, 1, lora.get()},      {20, 5, 1, deep.get()},     {25, 2, 1, alone.get()},
                                     {27, 3, 1, replacing.get()}, {30, 10, 0.5f, lora.get()}, {30, 10, 1, gains.get()}};
      const Matrix y = product.compute(uses);
      EXPECT_LT(slora::testing::relative_error(values_of(y.tensor()), product.expected(uses)), kRoundings)
          << (has_bias ? "with" : "without") << " a bias, y of type " << static_cast<int>(dtype);
      const Matrix base = product.compute({});
      for (const std::int32_t row : {0, 19}) {
        EXPECT_TRUE(same_bits(y.tensor().rows_from(row, 1), base.tensor().rows_from(row, 1))) << "row " << row;
      }
    }
  }
}

// Rows 30 to 35 are under two adapters, of which one has an input gain. There are more scaled rows than scratch for them.
TEST_F(GeneralRecords, RowsThatAreScaledHaveProductsOfTheirOwn) {
  for (const bool has_bias : {true, false}) {
    for (const DType dtype : {DType::bf16, DType::f32}) {
      Product product(backend_, numbers_, has_bias, dtype);
      const auto input = with_an_input_gain(), hadamard = with_hadamard(7), deep = with_hadamard(33, {.tile_rows = 3, .tile_cols = 64});
      const auto lora = plain(), gains = with_gains();
      const std::vector<Use> uses = {{1, 6, 1, input.get()},  {8, 5, 0.5f, hadamard.get()},  {14, 9, 1, deep.get()}, {23, 2, 1, lora.get()},
                                     {25, 3, 1, gains.get()}, {30, 8, 0.5f, hadamard.get()}, {30, 6, 1, input.get()}};
      const Matrix y = product.compute(uses);
      EXPECT_LT(slora::testing::relative_error(values_of(y.tensor()), product.expected(uses)), kRoundings)
          << (has_bias ? "with" : "without") << " a bias, y of type " << static_cast<int>(dtype);
      const Matrix base = product.compute({}), others = product.compute({{23, 2, 1, lora.get()}, {25, 3, 1, gains.get()}});
      EXPECT_TRUE(same_bits(y.tensor().rows_from(0, 1), base.tensor().rows_from(0, 1)));
      EXPECT_TRUE(same_bits(y.tensor().rows_from(23, 5), others.tensor().rows_from(23, 5)));
    }
  }
}

// Whatever the other rows' adapters do, and however many rows there are.
TEST_F(GeneralRecords, ARowHasTheSameBitsInAnyBatch) {
  Product product(backend_, numbers_, true, DType::bf16);
  const auto gains = with_gains(), inner = with_inner_gains(), alone = with_a_gain_alone(), lora = plain(), input = with_an_input_gain();
  const auto hadamard = with_hadamard(7), deep = with_hadamard(70);
  const std::vector<Use> uses = {{1, 6, 1, gains.get()}, {7, 4, 1, inner.get()},  {11, 9, 1, lora.get()},    {20, 4, 1, input.get()},
                                 {22, 5, 1, deep.get()}, {27, 9, 1, alone.get()}, {28, 3, 0.5f, lora.get()}, {36, 4, 1, hadamard.get()}};
  const Matrix whole = product.compute(uses);
  for (const std::int32_t count : {1, 3, 17}) {
    for (std::int32_t row = 0; row + count <= Product::kRows; row += count) {
      const Matrix part = product.compute(uses, row, count);
      EXPECT_TRUE(same_bits(part, whole.tensor().rows_from(row, count))) << count << " rows from row " << row;
    }
  }
}

}  // namespace
}  // namespace slora::cuda
