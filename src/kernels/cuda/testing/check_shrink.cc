#include <algorithm>
#include <cmath>

#include "kernels/cuda/shrink.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/device_pieces.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {
namespace {

struct DrawnAdapter {
  std::int32_t rank;
  std::int32_t z_begin;
  std::vector<float> a;     // [rank, in]
  std::vector<float> gain;  // [rank], or empty
};

DrawnAdapter draw_adapter(KernelCase& kernel_case, std::int64_t in, std::int32_t z_begin) {
  DrawnAdapter adapter{kernel_case.pick({1, 7, 8, 16, 19, 40}), z_begin, {}, {}};
  adapter.a = kernel_case.eighths(static_cast<std::size_t>(adapter.rank * in));
  if (kernel_case.one_in(3)) adapter.gain = kernel_case.powers_of_two(static_cast<std::size_t>(adapter.rank));
  return adapter;
}

}  // namespace

// Numbers are multiples of 1/8, so that sums are exact in any order.
std::string check_shrink(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  // With few columns some ranges of k are empty; with more than 512 a warp takes several steps, in several blocks of columns if A is cut
  // so.
  const bool cuts_columns = seed % 8 == 1;
  const std::int64_t in = cuts_columns ? 1048 : kernel_case.pick<std::int64_t>({12, 60, 97, 264, 504, 1048});
  const bool is_wide = !cuts_columns && in % 8 == 0 && kernel_case.one_in(2);

  // Runs of rows, some of no adapter, each with one or two adapters.
  using Cuts = DevicePieces::Cuts;
  DevicePieces pieces(kernel_case, is_wide ? Cuts::between_rows : cuts_columns ? Cuts::columns : Cuts::any);
  DeviceTables tables(kernel_case);
  DeviceVectors vectors(kernel_case);
  std::vector<DrawnAdapter> adapters;
  std::vector<ShrinkItem> items;
  std::int32_t rows = kernel_case.draw(0, 2), z_cols = kernel_case.draw(0, 3);
  struct Use {
    std::int32_t row_begin, row_count;
    std::size_t adapter;
  };
  std::vector<Use> uses;
  for (std::int32_t run = kernel_case.draw(1, 4); run > 0; --run) {
    const std::int32_t count = kernel_case.pick({1, 2, 16, 17, 40, 64});
    for (std::int32_t i = kernel_case.draw(1, 2); i > 0; --i) {
      adapters.push_back(draw_adapter(kernel_case, in, z_cols));
      const std::int32_t rank = adapters.back().rank, of_adapter = kernel_case.draw(0, z_cols);
      const DevicePieces::Matrix a = pieces.add(rank, static_cast<std::int32_t>(in), adapters.back().a);
      const LoraRecord record{.a = a.whole,
                              .a_pieces = a.pieces,
                              .gains = vectors.add_gains({.rank_gain = vectors.add(adapters.back().gain)}),
                              .z_begin = z_cols - of_adapter,
                              .shrink_rank = static_cast<std::uint16_t>(rank),
                              .is_a_wide = static_cast<std::uint8_t>(is_wide)};
      // Some of ranks that another layer has.
      const std::int32_t rank_end = rank + (kernel_case.one_in(2) ? ShrinkItem::kRanks : 0);
      const LoraTable table = tables.add({record});
      for (std::int32_t rank_begin = 0; rank_begin < rank_end; rank_begin += ShrinkItem::kRanks) {
        items.push_back({table, rows, count, rank_begin, of_adapter});
      }
      uses.push_back({rows, count, adapters.size() - 1});
      z_cols += rank + kernel_case.draw(0, 2);
    }
    rows += count + kernel_case.draw(0, 2);
  }
  const std::vector<float> x_values = kernel_case.eighths(static_cast<std::size_t>(rows * in));

  emulator::Device& device = kernel_case.device();
  const emulator::DeviceArray<ShrinkItem> device_items(device, items);
  const emulator::DeviceArray<ShrinkList> list(device, {{device_items.data(), static_cast<std::int32_t>(items.size())}});
  const DeviceMatrix x(kernel_case, DType::bf16, rows, in, draw_rows(kernel_case), rows, x_values);
  const DeviceMatrix z(kernel_case, DType::f32, rows, z_cols, kernel_case.pick({Rows::aligned, Rows::odd}));
  shrink(kernel_case.stream(), z, x, list.data(), tables.layer(), kernel_case.draw(1, 3));

  std::vector<float> expected(static_cast<std::size_t>(rows * z_cols), NAN);  // not written
  for (const Use& use : uses) {
    const DrawnAdapter& adapter = adapters[use.adapter];
    for (std::int64_t t = use.row_begin; t < use.row_begin + use.row_count; ++t) {
      for (std::int64_t j = 0; j < adapter.rank; ++j) {
        float sum = 0;
        for (std::int64_t k = 0; k < in; ++k) {
          sum += adapter.a[static_cast<std::size_t>(j * in + k)] * x_values[static_cast<std::size_t>(t * in + k)];
        }
        if (!adapter.gain.empty()) sum *= adapter.gain[static_cast<std::size_t>(j)];
        expected[static_cast<std::size_t>(t * z_cols + adapter.z_begin + j)] = sum;
      }
    }
  }
  z.expect_elements("z", {expected.begin(), expected.end()}, kExact);
  return kernel_case.finish();
}

}  // namespace slora::cuda
