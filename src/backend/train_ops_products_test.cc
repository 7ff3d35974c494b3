// Derivatives of products by the base's weights and by adapters, on every backend that trains.
#include "backend/testing/train_fixture.h"

namespace slora::testing {
namespace {

class TrainOpsOfProducts : public TrainTest {};
INSTANTIATE_TEST_SUITE_P(Backends, TrainOpsOfProducts, ::testing::ValuesIn(ops_variants()), label_of);

// out[t, j] = sum over i of in[t, i] matrix[i, j]
std::vector<double> times(const std::vector<double>& in, const std::vector<double>& matrix, std::int64_t rows, std::int64_t inner,
                          std::int64_t cols) {
  std::vector<double> out(static_cast<std::size_t>(rows * cols));
  for (std::int64_t t = 0; t < rows; ++t) {
    for (std::int64_t i = 0; i < inner; ++i) {
      for (std::int64_t j = 0; j < cols; ++j)
        out[static_cast<std::size_t>(t * cols + j)] +=
            in[static_cast<std::size_t>(t * inner + i)] * matrix[static_cast<std::size_t>(i * cols + j)];
    }
  }
  return out;
}

std::vector<double> transposed(const std::vector<double>& matrix, std::int64_t rows, std::int64_t cols) {
  std::vector<double> out;
  for (std::int64_t j = 0; j < cols; ++j) {
    for (std::int64_t i = 0; i < rows; ++i) out.push_back(matrix[static_cast<std::size_t>(i * cols + j)]);
  }
  return out;
}

TEST_P(TrainOpsOfProducts, LinearBackwardIsTheTransposedProductForEveryShape) {
  struct Shape {
    std::int64_t rows, out, in;
  };
  const std::vector<Shape> shapes = {{0, 8, 8},    {1, 1, 1},      {1, 33, 7},    {2, 32, 64},   {3, 128, 96},   {4, 130, 33},
                                     {5, 31, 31},  {6, 257, 65},   {7, 64, 1},    {8, 96, 128},  {13, 40, 17},   {14, 129, 63},
                                     {15, 16, 16}, {29, 100, 129}, {64, 161, 80}, {3, 2601, 45}, {70, 1100, 70}, {130, 65, 34}};
  for (const auto& [rows, out, in] : shapes) {
    const std::vector<float> w = random(out * in), dy = random(rows * out);
    const LinearWeight weight = pack(*backend_, out, in, w, DType::bf16);
    const Matrix dx = fp32(rows, in);
    train_->linear_backward(dx, fp32(rows, out, dy), weight);
    EXPECT_LT(relative_error(values_of(dx), times(widened(dy), widened(w), rows, out, in)), kExact)
        << rows << " rows by " << out << " x " << in;
  }
}

// A module of random numbers with what it is trained with.
struct MadeModule {
  MadeModule(Backend& backend, Numbers& numbers, std::int64_t slice_begin, std::int64_t out, std::int64_t in, std::int64_t rank,
             std::int64_t z_begin, float scale)
      : a(numbers.vector(rank * in)),
        b(numbers.vector(out * rank)),
        a_before(numbers.vector(rank * in)),
        b_before(numbers.vector(out * rank)),
        a_memory(backend, DType::f32, rank, in, a),
        b_memory(backend, DType::f32, out, rank, b),
        a_gradient(backend, DType::f32, rank, in, a_before),
        b_gradient(backend, DType::f32, out, rank, b_before),
        module{.slice_begin = slice_begin,
               .z_begin = z_begin,
               .scale = scale,
               .a = a_memory,
               .b = b_memory,
               .a_gradient = a_gradient,
               .b_gradient = b_gradient} {}

  // Of the rows [rows, in]: A x, and scale * B A x.
  [[nodiscard]] std::vector<double> shrunk(const std::vector<double>& x, const std::vector<double>& of_a) const {
    const std::int64_t in = module.a.cols, rows = std::ssize(x) / in;
    return times(x, transposed(of_a, module.a.rows, in), rows, in, module.a.rows);
  }
  [[nodiscard]] std::vector<double> delta(const std::vector<double>& x, const std::vector<double>& of_a,
                                          const std::vector<double>& of_b) const {
    const std::int64_t rank = module.a.rows, rows = std::ssize(x) / module.a.cols;
    std::vector<double> y = times(shrunk(x, of_a), transposed(of_b, module.b.rows, rank), rows, rank, module.b.rows);
    for (double& value : y) value *= module.scale;
    return y;
  }

  std::vector<float> a, b, a_before, b_before;
  Matrix a_memory, b_memory, a_gradient, b_gradient;
  TrainedModule module;
};

std::vector<double> sum_of(const std::vector<float>& a, const std::vector<double>& b) {
  std::vector<double> out(b);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] += a[i];
  return out;
}

// Rows of a micro-batch at one site under some modules.
class AdaptedSite : public TrainOpsOfProducts {
 protected:
  static constexpr std::int64_t kIn = 19, kOut = 45, kZCols = 29;

  struct Placed {
    std::int32_t row_begin, row_count;
    const MadeModule* made;
  };

  [[nodiscard]] static std::vector<float> part_of(const std::vector<float>& matrix, std::int64_t cols, std::int64_t row_begin,
                                                  std::int64_t row_count, std::int64_t col_begin, std::int64_t col_count) {
    std::vector<float> out;
    for (std::int64_t t = row_begin; t < row_begin + row_count; ++t) {
      const auto row = matrix.begin() + t * cols + col_begin;
      out.insert(out.end(), row, row + col_count);
    }
    return out;
  }

  // Runs the op on these rows and compares dx, d_z and the gradients of all modules with differences.
  void expect_derivatives(std::int64_t rows, const std::vector<Placed>& placed, const std::vector<const MadeModule*>& modules) {
    const std::vector<float> x = random(rows * kIn), dy = random(rows * kOut), dx_before = random(rows * kIn);
    std::vector<float> z(static_cast<std::size_t>(rows * kZCols), 7.0f), d_z(z);
    std::vector<double> want_dx = widened(dx_before), want_d_z = widened(d_z);
    for (const auto& [begin, count, made] : placed) {
      const TrainedModule& module = made->module;
      const std::vector<double> own_x = widened(part_of(x, kIn, begin, count, 0, kIn));
      const std::vector<float> own_dy = part_of(dy, kOut, begin, count, module.slice_begin, module.b.rows);
      const std::vector<double> own_z = made->shrunk(own_x, widened(made->a));
      const std::vector<double> own_dz = times(widened(own_dy), widened(made->b), count, module.b.rows, module.a.rows);
      const std::vector<double> own_dx = central_differences(
          own_x, own_dy, [&](const std::vector<double>& in) { return made->delta(in, widened(made->a), widened(made->b)); });
      for (std::int64_t t = 0; t < count; ++t) {
        for (std::int64_t j = 0; j < module.a.rows; ++j) {
          const auto at = static_cast<std::size_t>((begin + t) * kZCols + module.z_begin + j);
          z[at] = static_cast<float>(own_z[static_cast<std::size_t>(t * module.a.rows + j)]);
          want_d_z[at] = module.scale * own_dz[static_cast<std::size_t>(t * module.a.rows + j)];
        }
        for (std::int64_t i = 0; i < kIn; ++i)
          want_dx[static_cast<std::size_t>((begin + t) * kIn + i)] += own_dx[static_cast<std::size_t>(t * kIn + i)];
      }
    }
    std::vector<TrainedRows> entries;
    for (const Placed& entry : placed) entries.push_back({entry.row_begin, entry.row_count, &entry.made->module});
    const Matrix dx = fp32(rows, kIn, dx_before), dz = fp32(rows, kZCols, d_z);
    train_->adapter_backward(dx, dz, fp32(rows, kOut, dy), product(rows, kIn, x), fp32(rows, kZCols, z), entries);
    EXPECT_LT(relative_error(values_of(dx), want_dx), kExact);
    EXPECT_LT(relative_error(values_of(dz), want_d_z), kExact) << "and nothing beside the columns of modules";
    for (const MadeModule* made : modules) expect_gradients(*made, placed, x, dy);
  }

  static void expect_gradients(const MadeModule& made, const std::vector<Placed>& placed, const std::vector<float>& x,
                               const std::vector<float>& dy) {
    std::vector<double> all_x;
    std::vector<float> all_dy;
    for (const Placed& entry : placed) {
      if (entry.made != &made) continue;
      const std::vector<float> own_x = part_of(x, kIn, entry.row_begin, entry.row_count, 0, kIn);
      const std::vector<float> own_dy = part_of(dy, kOut, entry.row_begin, entry.row_count, made.module.slice_begin, made.module.b.rows);
      all_x.insert(all_x.end(), own_x.begin(), own_x.end());
      all_dy.insert(all_dy.end(), own_dy.begin(), own_dy.end());
    }
    const auto of_a =
        central_differences(widened(made.a), all_dy, [&](const std::vector<double>& a) { return made.delta(all_x, a, widened(made.b)); });
    const auto of_b =
        central_differences(widened(made.b), all_dy, [&](const std::vector<double>& b) { return made.delta(all_x, widened(made.a), b); });
    EXPECT_LT(relative_error(values_of(made.a_gradient), sum_of(made.a_before, of_a)), kExact) << "gradient of A";
    EXPECT_LT(relative_error(values_of(made.b_gradient), sum_of(made.b_before, of_b)), kExact) << "gradient of B";
    EXPECT_EQ(values_of(made.a_memory), made.a);
    EXPECT_EQ(values_of(made.b_memory), made.b);
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, AdaptedSite, ::testing::ValuesIn(ops_variants()), label_of);

TEST_P(AdaptedSite, GivesEveryModuleItsGradientAndAllOfThemToTheInput) {
  const MadeModule q(*backend_, numbers_, 0, 21, kIn, 5, 0, 0.5f), k(*backend_, numbers_, 21, 11, kIn, 16, 5, 2),
      v(*backend_, numbers_, 32, 13, kIn, 1, 21, 0.25f);
  expect_derivatives(9, {{0, 9, &q}, {0, 9, &k}, {0, 9, &v}}, {&q, &k, &v});
}

TEST_P(AdaptedSite, AddsUpSamplesAndLeavesOtherRowsAlone) {
  const MadeModule one(*backend_, numbers_, 3, 40, kIn, 4, 2, 0.5f), other(*backend_, numbers_, 3, 40, kIn, 7, 0, 3),
      unused(*backend_, numbers_, 0, 45, kIn, 8, 10, 1);
  expect_derivatives(20, {{1, 4, &one}, {5, 1, &other}, {6, 0, &one}, {6, 7, &one}, {15, 5, &other}}, {&one, &other, &unused});
}

TEST_P(AdaptedSite, OfManyRowsAndColumnsIsTheSame) {
  const MadeModule wide(*backend_, numbers_, 0, 45, kIn, 24, 3, 0.5f);
  expect_derivatives(70, {{0, 37, &wide}, {37, 33, &wide}}, {&wide});
}

TEST_P(AdaptedSite, WithoutModulesOrRowsDoesNothing) {
  const MadeModule unused(*backend_, numbers_, 0, 45, kIn, 3, 0, 1);
  expect_derivatives(4, {}, {&unused});
  expect_derivatives(0, {}, {&unused});
}

TEST_P(AdaptedSite, NeedsNoDerivativeOfTheInput) {
  const std::vector<float> x = random(6 * kIn), dy = random(6 * kOut), z = random(6 * kZCols);
  Numbers numbers(3), same(3);
  const MadeModule with(*backend_, numbers, 0, 45, kIn, 3, 1, 0.5f), without(*backend_, same, 0, 45, kIn, 3, 1, 0.5f);
  const Matrix dx = fp32(6, kIn, x), none = fp32(0, kIn), d_z = fp32(6, kZCols, z);
  train_->adapter_backward(dx, d_z, fp32(6, kOut, dy), product(6, kIn, x), fp32(6, kZCols, z),
                           std::vector<TrainedRows>{{0, 6, &with.module}});
  train_->adapter_backward(none, d_z, fp32(6, kOut, dy), product(6, kIn, x), fp32(6, kZCols, z),
                           std::vector<TrainedRows>{{0, 6, &without.module}});
  EXPECT_TRUE(same_bits(with.a_gradient, without.a_gradient));
  EXPECT_TRUE(same_bits(with.b_gradient, without.b_gradient));
}

}  // namespace
}  // namespace slora::testing
