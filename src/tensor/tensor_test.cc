#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>

namespace slora {
namespace {

TEST(Tensor, ViewsRowsAndColumnsOfTheSameMemory) {
  std::array<float, 12> numbers{};
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  const Tensor matrix{reinterpret_cast<std::byte*>(numbers.data()), DType::f32, 3, 4, 4};
  EXPECT_EQ(matrix.row<float>(2)[1], 9.0f);

  const Tensor rows = matrix.rows_from(1, 2);
  EXPECT_EQ(rows.rows, 2);
  EXPECT_EQ(rows.row<float>(0)[0], 4.0f);

  const Tensor columns = rows.cols_from(2, 2);
  EXPECT_EQ(columns.cols, 2);
  EXPECT_EQ(columns.row_stride, 4);
  EXPECT_EQ(columns.row<float>(1)[0], 10.0f);

  columns.row<float>(1)[1] = -1.0f;
  EXPECT_EQ(numbers[11], -1.0f);
  EXPECT_EQ(matrix.rows_from(3, 0).rows, 0);
}

TEST(TensorDeathTest, RefusesRangesOutsideTheMatrix) {
  std::array<float, 4> numbers{};
  const Tensor matrix{reinterpret_cast<std::byte*>(numbers.data()), DType::f32, 2, 2, 2};
  EXPECT_DEATH(static_cast<void>(matrix.rows_from(1, 2)), "a row range within the tensor");
  EXPECT_DEATH(static_cast<void>(matrix.rows_from(-1, 1)), "a row range within the tensor");
  EXPECT_DEATH(static_cast<void>(matrix.cols_from(2, 1)), "a column range within the tensor");
}

}  // namespace
}  // namespace slora
