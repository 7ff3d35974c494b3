#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace slora {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The value of fp16 bits by the definition of the format.
double defined_value(std::uint16_t bits) {
  const double sign = (bits & 0x8000u) != 0 ? -1.0 : 1.0;
  const int exponent = (bits >> 10) & 0x1f;
  const int mantissa = bits & 0x3ff;
  if (exponent == 0x1f) return mantissa == 0 ? sign * kInfinity : kNan;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Float16, WidensEveryValueExactly) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const double expected = defined_value(half);
    const float found = to_float(Float16{half});
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(found)) << bits;
    } else {
      EXPECT_EQ(found, expected) << bits;
      EXPECT_EQ(std::signbit(found), std::signbit(expected)) << bits;
    }
  }
}

TEST(Float16, ComesBackFromEveryValue) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const Float16 back = to_float16(to_float(Float16{half}));
    if (std::isnan(to_float(Float16{half}))) {
      EXPECT_TRUE(std::isnan(to_float(back))) << bits;
    } else {
      EXPECT_EQ(back.bits, half) << bits;
    }
  }
}

// Between any two neighbours: the midpoint rounds to the even one, anything else to the nearer one.
TEST(Float16, RoundsToNearestAndTiesToEven) {
  for (std::uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = to_float(Float16{static_cast<std::uint16_t>(bits)});
    const float high = to_float(Float16{static_cast<std::uint16_t>(bits + 1)});
    const float middle = (low + high) / 2;
    const std::uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(to_float16(middle).bits, even) << bits;
    ASSERT_EQ(to_float16(-middle).bits, even | 0x8000u) << bits;
    ASSERT_EQ(to_float16(std::nextafter(middle, low)).bits, bits) << bits;
    ASSERT_EQ(to_float16(std::nextafter(middle, high)).bits, bits + 1) << bits;
  }
}

TEST(Float16, OverflowsToInfinityFromTheMiddleOn) {
  EXPECT_EQ(to_float16(65504.0f).bits, 0x7bff);
  EXPECT_EQ(to_float16(std::nextafter(65520.0f, 0.0f)).bits, 0x7bff);
  EXPECT_EQ(to_float16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(to_float16(-1e30f).bits, 0xfc00);
  EXPECT_EQ(to_float16(kInfinity).bits, 0x7c00);
  EXPECT_EQ(to_float16(-0.0f).bits, 0x8000);
  EXPECT_EQ(to_float16(1e-30f).bits, 0);
  EXPECT_TRUE(std::isnan(to_float(to_float16(kNan))));
}

TEST(Bfloat16, ComesBackFromEveryValue) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float wide = to_float(Bfloat16{half});
    ASSERT_EQ(std::bit_cast<std::uint32_t>(wide), bits << 16);
    const Bfloat16 back = to_bfloat16(wide);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(to_float(back))) << bits;
    } else {
      EXPECT_EQ(back.bits, half) << bits;
    }
  }
}

TEST(Bfloat16, RoundsToNearestAndTiesToEven) {
  for (std::uint32_t bits = 0; bits < 0x7f7f; ++bits) {
    const float middle = std::bit_cast<float>(bits << 16 | 0x8000u);
    const std::uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(to_bfloat16(middle).bits, even) << bits;
    ASSERT_EQ(to_bfloat16(-middle).bits, even | 0x8000u) << bits;
    ASSERT_EQ(to_bfloat16(std::bit_cast<float>(bits << 16 | 0x7fffu)).bits, bits) << bits;
    ASSERT_EQ(to_bfloat16(std::bit_cast<float>(bits << 16 | 0x8001u)).bits, bits + 1) << bits;
  }
}

TEST(Bfloat16, OverflowsToInfinityAndKeepsNan) {
  EXPECT_EQ(to_bfloat16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(to_bfloat16(-kInfinity).bits, 0xff80);
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(kNan))));
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(std::bit_cast<float>(0x7f800001u))))) << "whose payload lies in the dropped bits";
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(std::bit_cast<float>(0x7fffffffu)))));
}

TEST(Convert, GoesThroughEveryFloatType) {
  const std::vector<float> values = {0.0f, -1.5f, 3.0f, 1024.0f};
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    std::vector<std::byte> stored(values.size() * bytes_of(dtype));
    convert_from_float(stored.data(), dtype, values.data(), values.size());
    std::vector<float> back(values.size());
    convert_to_float(back.data(), stored.data(), dtype, back.size());
    EXPECT_EQ(back, values) << name_of(dtype);
  }
  const std::vector<double> doubles = {0.1, -2.0};
  std::vector<float> narrowed(2);
  convert_to_float(narrowed.data(), doubles.data(), DType::f64, 2);
  EXPECT_EQ(narrowed, (std::vector<float>{0.1f, -2.0f}));
}

TEST(ConvertDeathTest, RefusesTypesThatAreNoFloats) {
  float value = 0;
  EXPECT_DEATH(convert_to_float(&value, &value, DType::i32, 1), "a float element type");
  EXPECT_DEATH(convert_from_float(&value, DType::f64, &value, 1), "a float element type");
}

TEST(DType, HasSizesAndNames) {
  EXPECT_EQ(bytes_of(DType::bf16), 2u);
  EXPECT_EQ(bytes_of(DType::i64), 8u);
  EXPECT_EQ(bytes_of(DType::f8_e4m3), 1u);
  EXPECT_EQ(name_of(DType::bf16), "BF16");
  EXPECT_EQ(name_of(DType::boolean), "BOOL");
}

}  // namespace
}  // namespace slora
