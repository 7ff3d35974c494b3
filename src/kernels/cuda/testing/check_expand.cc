#include <cmath>

#include "kernels/cuda/expand.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/device_pieces.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {
namespace {

struct DrawnExpansion {
  LoraRecord record{};
  std::int32_t z_begin = 0;
  std::vector<float> b;  // [rank, out]
  std::vector<float> bias;
  std::vector<float> delta_gain, gain;  // [out], or empty
};

// B as pairs of ranks; what stands in place of the last odd rank's neighbour is NaN.
DrawnExpansion draw_expansion(KernelCase& kernel_case, std::int32_t outputs, bool is_wide, bool has_gain, DevicePieces& pieces,
                              DeviceVectors& vectors) {
  DrawnExpansion drawn;
  const std::int32_t unit = is_wide ? 4 : 1;
  LoraRecord& record = drawn.record;
  const std::int32_t rank = kernel_case.pick({0, 1, 7, 8, 16, 19, 40, 130});
  record.expand_rank = static_cast<std::uint16_t>(rank);
  record.is_b_wide = static_cast<std::uint8_t>(is_wide);
  record.slice_begin = kernel_case.one_in(2) ? 0 : unit * kernel_case.draw(0, outputs / 2 / unit);
  record.out = unit * kernel_case.draw(1, (outputs - record.slice_begin) / unit);
  record.scale = kernel_case.pick({0.5f, 1.0f, 2.0f});
  const auto count = static_cast<std::size_t>(record.out);
  if (rank == 0 || kernel_case.one_in(2)) drawn.bias = kernel_case.eighths(count);
  if (kernel_case.one_in(3)) drawn.delta_gain = kernel_case.powers_of_two(count);
  if (has_gain) drawn.gain = kernel_case.powers_of_two(count);
  record.bias = vectors.add(drawn.bias);
  record.gains = vectors.add_gains({.delta_gain = vectors.add(drawn.delta_gain), .gain = vectors.add(drawn.gain)});
  record.replaces_bias = static_cast<std::uint8_t>(record.bias != nullptr && kernel_case.one_in(2));
  drawn.b = kernel_case.eighths(static_cast<std::size_t>(rank * record.out));
  const std::int32_t pairs = (rank + 1) / 2;
  std::vector<float> stored;  // [pairs, 2 out]
  for (std::int32_t pair = 0; pair < pairs; ++pair) {
    for (std::int32_t i = 0; i < record.out; ++i) {
      for (std::int32_t j = 2 * pair; j < 2 * pair + 2; ++j) {
        stored.push_back(j < rank ? drawn.b[static_cast<std::size_t>(j * record.out + i)] : NAN);
      }
    }
  }
  const DevicePieces::Matrix b = pieces.add(pairs, 2 * record.out, stored);
  record.b = b.whole;
  record.b_pieces = b.pieces;
  return drawn;
}

}  // namespace

// Numbers have so few bits that sums in fp32 are exact in any order, and so are the parts of z.
std::string check_expand(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const bool aligned = kernel_case.one_in(2);
  const std::int32_t outputs = aligned ? kernel_case.pick({32, 64, 72, 104}) : kernel_case.pick({5, 60, 64, 97});
  const DType dtype = kernel_case.pick({DType::bf16, DType::f32});

  DevicePieces pieces(kernel_case, aligned ? DevicePieces::Cuts::between_rows : DevicePieces::Cuts::any);
  DeviceTables tables(kernel_case);
  DeviceVectors vectors(kernel_case);
  std::vector<std::vector<DrawnExpansion>> of_uses;
  std::vector<ExpandUse> uses;
  std::vector<ExpandItem> items;
  std::int32_t rows = kernel_case.draw(0, 2), z_cols = kernel_case.draw(0, 3);
  for (std::int32_t run = kernel_case.draw(1, 4); run > 0; --run) {
    ExpandItem item{rows, kernel_case.pick({1, 2, 9, 16}), static_cast<std::int32_t>(uses.size()), kernel_case.draw(1, 2)};
    bool may_have_gain = kernel_case.one_in(2);  // one record at most
    for (std::int32_t i = 0; i < item.use_count; ++i) {
      const std::int32_t z_begin = kernel_case.draw(0, z_cols);
      std::vector<DrawnExpansion>& expansions = of_uses.emplace_back();
      std::vector<LoraRecord> records;
      for (std::int32_t record = kernel_case.draw(1, 2); record > 0; --record) {
        const bool has_gain = may_have_gain && kernel_case.one_in(2);
        may_have_gain = may_have_gain && !has_gain;
        DrawnExpansion& drawn = expansions.emplace_back(draw_expansion(kernel_case, outputs, aligned, has_gain, pieces, vectors));
        drawn.z_begin = z_cols;
        drawn.record.z_begin = z_cols - z_begin;
        records.push_back(drawn.record);
        z_cols += drawn.record.expand_rank + kernel_case.draw(0, 2);
      }
      uses.push_back({tables.add(records), z_begin, kernel_case.pick({1.0f, 0.5f})});
    }
    items.push_back(item);
    rows += item.row_count + kernel_case.draw(0, 2);
  }
  z_cols += 1;
  // z where shrink writes it, NaN elsewhere. Where both parts of z count it has more bits than one part.
  std::vector<float> z_values(static_cast<std::size_t>(rows * z_cols), NAN);
  // Calls visit(row, drawn, weight) for all that acts on each row.
  const auto visit_rows = [&](const auto& visit) {
    for (const ExpandItem& item : items) {
      for (std::int32_t i = item.use_begin; i < item.use_begin + item.use_count; ++i) {
        for (const DrawnExpansion& drawn : of_uses[static_cast<std::size_t>(i)]) {
          for (std::int32_t row = item.row_begin; row < item.row_begin + item.row_count; ++row) {
            visit(row, drawn, uses[static_cast<std::size_t>(i)].weight);
          }
        }
      }
    }
  };
  visit_rows([&](std::int32_t row, const DrawnExpansion& drawn, float) {
    for (std::int32_t rank = 0; rank < drawn.record.expand_rank; ++rank) {
      z_values[static_cast<std::size_t>(row * z_cols + drawn.z_begin + rank)] =
          drawn.record.expand_rank <= 128 ? static_cast<float>(kernel_case.draw(-1024, 1024)) / 1024
                                          : static_cast<float>(kernel_case.draw(-8, 8)) / 8;
    }
  });
  const std::vector<float> before = kernel_case.eighths(static_cast<std::size_t>(rows * outputs));
  const std::vector<float> base_bias = kernel_case.eighths(kernel_case.one_in(2) ? static_cast<std::size_t>(outputs) : 0);

  emulator::Device& device = kernel_case.device();
  const emulator::DeviceArray<ExpandUse> device_uses(device, uses);
  const emulator::DeviceArray<ExpandItem> device_items(device, items);
  const emulator::DeviceArray<ExpandList> list(device,
                                               {{device_uses.data(), device_items.data(), static_cast<std::int32_t>(items.size())}});
  const emulator::DeviceArray<float> device_base_bias(device, base_bias);
  const DeviceMatrix z(kernel_case, DType::f32, rows, z_cols, kernel_case.pick({Rows::aligned, Rows::odd}), rows, z_values);
  const DeviceMatrix y(kernel_case, dtype, rows, outputs, draw_rows(kernel_case), rows, before);
  const Tensor z_tensor = z;
  expand(kernel_case.stream(), y,
         {list.data(), tables.layer(), base_bias.empty() ? nullptr : device_base_bias.data(), reinterpret_cast<const float*>(z_tensor.data),
          z_tensor.row_stride},
         kernel_case.draw(1, 3));

  std::vector<float> expected = before;
  // Calls change(element of y, its column, drawn, output of its slice, row, weight) for all elements that a record acts on.
  const auto visit_elements = [&](const auto& change) {
    visit_rows([&](std::int32_t row, const DrawnExpansion& drawn, float weight) {
      for (std::int32_t out = 0; out < drawn.record.out; ++out) {
        const std::int32_t column = drawn.record.slice_begin + out;
        change(expected[static_cast<std::size_t>(row * outputs + column)], column, drawn, out, row, weight);
      }
    });
  };
  const auto base_of = [&](std::int32_t column) { return base_bias.empty() ? 0.0f : base_bias[static_cast<std::size_t>(column)]; };
  visit_elements([&](float& value, std::int32_t, const DrawnExpansion& drawn, std::int32_t out, std::int32_t row, float weight) {
    float sum = 0;
    for (std::int32_t rank = 0; rank < drawn.record.expand_rank; ++rank) {
      sum += drawn.b[static_cast<std::size_t>(rank * drawn.record.out + out)] *
             z_values[static_cast<std::size_t>(row * z_cols + drawn.z_begin + rank)];
    }
    value += weight * drawn.record.scale * sum * (drawn.delta_gain.empty() ? 1.0f : drawn.delta_gain[static_cast<std::size_t>(out)]);
  });
  visit_elements([&](float& value, std::int32_t column, const DrawnExpansion& drawn, std::int32_t out, std::int32_t, float) {
    if (drawn.gain.empty()) return;
    value = drawn.gain[static_cast<std::size_t>(out)] * (value - base_of(column)) + base_of(column);
  });
  visit_elements([&](float& value, std::int32_t column, const DrawnExpansion& drawn, std::int32_t out, std::int32_t, float weight) {
    if (drawn.bias.empty()) return;
    const float bias = drawn.bias[static_cast<std::size_t>(out)];
    value += drawn.record.replaces_bias != 0 ? bias - base_of(column) : weight * bias;
  });
  if (dtype == DType::bf16) {
    for (float& value : expected) value = to_float(to_bfloat16(value));
  }
  y.expect_elements("y", {expected.begin(), expected.end()}, kExact);
  return kernel_case.finish();
}

}  // namespace slora::cuda
