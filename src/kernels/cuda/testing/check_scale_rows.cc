#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "kernels/cuda/scale_rows.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/device_pieces.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {
namespace {

// One record, and what its numbers are.
struct DrawnScaling {
  LoraRecord record{};
  LoraGains gains{};
  std::vector<float> a, b;                    // [rank, in], [rank, out]
  std::vector<float> input_gain, delta_gain;  // or empty
};

// Items of rows that ascend, with records of which one in several has not what its item asks for, as in another layer.
struct DrawnItems {
  std::vector<std::unique_ptr<DrawnScaling>> records;
  std::vector<ScaleItem> items;
  std::vector<const DrawnScaling*> of_items;
  std::int32_t row_count = 0, scaled_count = 0, place_begin = 0;
};

DrawnItems draw_items(KernelCase& kernel_case, DeviceTables& tables, const std::function<void(DrawnScaling&)>& draw_record) {
  DrawnItems drawn;
  drawn.place_begin = kernel_case.draw(0, 50);
  for (std::int32_t row = kernel_case.draw(0, 2), count = kernel_case.draw(1, 4); count > 0; --count) {
    for (std::int32_t i = kernel_case.draw(1, 3); i > 0; --i) {
      DrawnScaling& scaling = *drawn.records.emplace_back(std::make_unique<DrawnScaling>());
      draw_record(scaling);
      const bool is_gain = kernel_case.one_in(3);
      const std::int32_t rank = kernel_case.one_in(4) ? 7 : scaling.gains.hadamard_rank;  // at most, of any layer
      const std::int32_t begin = is_gain || !kernel_case.one_in(3) ? 0 : ScaleItem::kRanks;
      const std::int32_t ranks = std::clamp(rank - begin, 1, ScaleItem::kRanks);
      drawn.items.push_back({tables.add({scaling.record}), row, is_gain ? ScaleItem::kInputGain : begin, is_gain ? 1 : ranks,
                             drawn.place_begin + drawn.scaled_count, kernel_case.pick({1.0f, 0.5f})});
      drawn.of_items.push_back(&scaling);
      drawn.scaled_count += drawn.items.back().count;
    }
    drawn.row_count = row + 1;
    row += kernel_case.draw(1, 3);
  }
  return drawn;
}

}  // namespace

std::string check_scale_rows(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const bool cuts_columns = seed % 8 == 1;
  const std::int32_t in = cuts_columns ? 1048 : kernel_case.pick({12, 60, 97, 264, 2056});
  const bool is_wide = !cuts_columns && in % 8 == 0 && kernel_case.one_in(2);
  using Cuts = DevicePieces::Cuts;
  DevicePieces pieces(kernel_case, is_wide ? Cuts::between_rows : cuts_columns ? Cuts::columns : Cuts::any);
  DeviceTables tables(kernel_case);
  DeviceVectors vectors(kernel_case);
  const DrawnItems drawn = draw_items(kernel_case, tables, [&](DrawnScaling& scaling) {
    const std::int32_t rank = kernel_case.pick({0, 1, 5, 32, 33});
    scaling.a = kernel_case.eighths(static_cast<std::size_t>(rank * in));
    if (kernel_case.one_in(2)) scaling.input_gain = kernel_case.powers_of_two(static_cast<std::size_t>(in));
    const DevicePieces::Matrix a = rank == 0 ? DevicePieces::Matrix{} : pieces.add(rank, in, scaling.a);
    scaling.gains = {.input_gain = vectors.add(scaling.input_gain), .hadamard_rank = rank};
    scaling.record = {.a = a.whole, .a_pieces = a.pieces, .is_a_wide = static_cast<std::uint8_t>(is_wide)};
    scaling.record.gains = vectors.add_gains(scaling.gains);
  });
  const std::vector<float> x_values = kernel_case.eighths(static_cast<std::size_t>(drawn.row_count * in));
  const emulator::DeviceArray<ScaleItem> items(kernel_case.device(), drawn.items);
  const DeviceMatrix x(kernel_case, DType::bf16, drawn.row_count, in, draw_rows(kernel_case), drawn.row_count, x_values);
  const DeviceMatrix scaled(kernel_case, DType::bf16, drawn.scaled_count, in, draw_rows(kernel_case));
  scale_rows(kernel_case.stream(), scaled, x,
             {items.data(), static_cast<std::int32_t>(drawn.items.size()), drawn.place_begin, tables.layer()});

  std::vector<double> expected;
  for (std::size_t i = 0; i < drawn.items.size(); ++i) {
    const ScaleItem& item = drawn.items[i];
    const DrawnScaling& scaling = *drawn.of_items[i];
    for (std::int32_t rank = item.rank_begin; rank < item.rank_begin + item.count; ++rank) {
      const bool is_gain = item.rank_begin == ScaleItem::kInputGain;
      const std::vector<float>& factors = is_gain ? scaling.input_gain : scaling.a;
      for (std::int32_t k = 0; k < in; ++k) {
        const auto at = static_cast<std::size_t>(is_gain ? k : rank * in + k);
        expected.push_back(at < factors.size() ? factors[at] * x_values[static_cast<std::size_t>(item.row * in + k)] : 0.0f);
      }
    }
  }
  scaled.expect_elements("scaled", expected, kExact);
  return kernel_case.finish();
}

// Numbers have so few bits that sums in fp32 are exact.
std::string check_add_products(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const std::int32_t outputs = kernel_case.pick({5, 60, 97, 264, 300});
  const DType dtype = kernel_case.pick({DType::bf16, DType::f32});
  DevicePieces pieces(kernel_case, DevicePieces::Cuts::any);
  DeviceTables tables(kernel_case);
  DeviceVectors vectors(kernel_case);
  const DrawnItems drawn = draw_items(kernel_case, tables, [&](DrawnScaling& scaling) {
    const std::int32_t rank = kernel_case.pick({0, 1, 5, 32, 33});
    LoraRecord& record = scaling.record;
    record.slice_begin = kernel_case.one_in(2) ? 0 : kernel_case.draw(0, outputs / 2);
    record.scale = kernel_case.pick({0.5f, 1.0f, 2.0f});
    const std::int32_t out = kernel_case.draw(1, outputs - record.slice_begin), pairs = (rank + 1) / 2;
    scaling.b = kernel_case.eighths(static_cast<std::size_t>(rank * out));
    if (kernel_case.one_in(2)) scaling.delta_gain = kernel_case.powers_of_two(static_cast<std::size_t>(out));
    if (kernel_case.one_in(2)) scaling.input_gain = {1};
    std::vector<float> stored(static_cast<std::size_t>(2 * pairs * out), NAN);  // [pairs, 2 out]
    for (std::int32_t j = 0; j < rank; ++j) {
      for (std::int32_t n = 0; n < out; ++n) {
        stored[static_cast<std::size_t>((j / 2 * out + n) * 2 + j % 2)] = scaling.b[static_cast<std::size_t>(j * out + n)];
      }
    }
    const DevicePieces::Matrix b = rank == 0 ? DevicePieces::Matrix{} : pieces.add(pairs, 2 * out, stored);
    record.b = b.whole;
    record.b_pieces = b.pieces;
    scaling.gains = {
        .input_gain = vectors.add(scaling.input_gain), .delta_gain = vectors.add(scaling.delta_gain), .out = out, .hadamard_rank = rank};
    record.gains = vectors.add_gains(scaling.gains);
  });
  const std::vector<float> before = kernel_case.eighths(static_cast<std::size_t>(drawn.row_count * outputs));
  const std::vector<float> products = kernel_case.eighths(static_cast<std::size_t>(drawn.scaled_count * outputs));
  const std::vector<float> base_bias = kernel_case.eighths(kernel_case.one_in(2) ? static_cast<std::size_t>(outputs) : 0);
  const emulator::DeviceArray<ScaleItem> items(kernel_case.device(), drawn.items);
  const DeviceMatrix y(kernel_case, dtype, drawn.row_count, outputs, draw_rows(kernel_case), drawn.row_count, before);
  const DeviceMatrix from(kernel_case, DType::f32, drawn.scaled_count, outputs, draw_rows(kernel_case), drawn.scaled_count, products);
  add_products(kernel_case.stream(), y, from, vectors.add(base_bias),
               {items.data(), static_cast<std::int32_t>(drawn.items.size()), drawn.place_begin, tables.layer()});

  std::vector<float> expected = before;
  for (std::size_t i = 0; i < drawn.items.size(); ++i) {
    const ScaleItem& item = drawn.items[i];
    const DrawnScaling& scaling = *drawn.of_items[i];
    for (std::int32_t n = 0; n < scaling.gains.out; ++n) {
      const std::int32_t column = scaling.record.slice_begin + n;
      const auto product = [&](std::int32_t j) {
        return products[static_cast<std::size_t>((item.place - drawn.place_begin + j) * outputs + column)];
      };
      float& value = expected[static_cast<std::size_t>(item.row * outputs + column)];
      if (item.rank_begin == ScaleItem::kInputGain) {
        if (!scaling.input_gain.empty()) value = product(0) + (base_bias.empty() ? 0.0f : base_bias[static_cast<std::size_t>(column)]);
      } else {
        float sum = 0;
        for (std::int32_t j = 0; j < item.count && item.rank_begin + j < scaling.gains.hadamard_rank; ++j) {
          sum += scaling.b[static_cast<std::size_t>((item.rank_begin + j) * scaling.gains.out + n)] * product(j);
        }
        const float gain = scaling.delta_gain.empty() ? 1.0f : scaling.delta_gain[static_cast<std::size_t>(n)];
        value += item.weight * scaling.record.scale * gain * sum;
      }
      if (dtype == DType::bf16) value = to_float(to_bfloat16(value));
    }
  }
  y.expect_elements("y", {expected.begin(), expected.end()}, kExact);
  return kernel_case.finish();
}

}  // namespace slora::cuda
