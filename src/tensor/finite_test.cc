#include "tensor/finite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace slora {
namespace {

std::optional<std::size_t> first_in(DType dtype, std::size_t at, float value) {
  std::vector<float> values(10'000, 3.0f);
  values[at] = value;
  std::vector<std::byte> bytes(values.size() * bytes_of(dtype));
  convert_from_float(bytes.data(), dtype, values.data(), values.size());
  return first_not_finite(bytes.data(), dtype, values.size());
}

TEST(FirstNotFinite, FindsNanAndInfinityOfEverySignAndType) {
  constexpr float kHuge = std::numeric_limits<float>::infinity();
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{4095}, std::size_t{4096}, std::size_t{9'999}}) {
      for (const float value : {std::nanf(""), -std::nanf(""), kHuge, -kHuge}) EXPECT_EQ(first_in(dtype, at, value), at);
    }
    EXPECT_EQ(first_in(dtype, 5, -65504.0f), std::nullopt);
    EXPECT_EQ(first_in(dtype, 5, 1e-30f), std::nullopt);
  }
}

TEST(FirstNotFinite, TakesNumbersThatOverflowInBfloat16AsInfinite) {
  EXPECT_EQ(first_in(DType::f32, 7, std::numeric_limits<float>::max()), 7u);
  EXPECT_EQ(first_in(DType::f32, 7, 0x1.fep127f), std::nullopt) << "the largest bf16";
}

}  // namespace
}  // namespace slora
