#include "formats/gguf_types.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace slora {
namespace {

constexpr std::size_t kSmall = 32, kLarge = 256;  // numbers in a block
constexpr std::array<std::int8_t, 16> kNonLinear = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

float half_at(const std::byte* bytes) {
  Float16 half{};
  std::memcpy(&half, bytes, sizeof(half));
  return to_float(half);
}

int u8_at(const std::byte* bytes, std::size_t index) { return static_cast<int>(bytes[index]); }
int i8_at(const std::byte* bytes, std::size_t index) { return static_cast<std::int8_t>(bytes[index]); }
// Element i of 32: the low halves of 16 bytes, then the high ones.
int nibble_of_small(const std::byte* bytes, std::size_t i) { return u8_at(bytes, i % 16) >> (i < 16 ? 0 : 4) & 15; }
// Element i of 256: 32 low halves, then the 32 high ones of the same bytes.
int nibble_of_large(const std::byte* bytes, std::size_t i) { return u8_at(bytes, i / 64 * 32 + i % 32) >> (i / 32 % 2 * 4) & 15; }
// Bit i of 32 bits.
int bit_of_small(const std::byte* bytes, std::size_t i) { return u8_at(bytes, i / 8) >> (i % 8) & 1; }

// Each function: a block's bytes in their order, then the number that element i stands for.

// f16 d, 32 x i8: d * q
void dequantise_q8_0(float* out, const std::byte* block) {
  const float d = half_at(block);
  for (std::size_t i = 0; i < kSmall; ++i) out[i] = d * static_cast<float>(i8_at(block + 2, i));
}

// f16 d, 32 x u4: d * (q - 8)
void dequantise_q4_0(float* out, const std::byte* block) {
  const float d = half_at(block);
  for (std::size_t i = 0; i < kSmall; ++i) out[i] = d * static_cast<float>(nibble_of_small(block + 2, i) - 8);
}

// f16 d, f16 m, 32 x u4: d * q + m
void dequantise_q4_1(float* out, const std::byte* block) {
  const float d = half_at(block), m = half_at(block + 2);
  for (std::size_t i = 0; i < kSmall; ++i) out[i] = d * static_cast<float>(nibble_of_small(block + 4, i)) + m;
}

// f16 d, 32 fifth bits, 32 x u4: d * (q - 16)
void dequantise_q5_0(float* out, const std::byte* block) {
  const float d = half_at(block);
  for (std::size_t i = 0; i < kSmall; ++i)
    out[i] = d * static_cast<float>((nibble_of_small(block + 6, i) | bit_of_small(block + 2, i) << 4) - 16);
}

// f16 d, f16 m, 32 fifth bits, 32 x u4: d * q + m
void dequantise_q5_1(float* out, const std::byte* block) {
  const float d = half_at(block), m = half_at(block + 2);
  for (std::size_t i = 0; i < kSmall; ++i)
    out[i] = d * static_cast<float>(nibble_of_small(block + 8, i) | bit_of_small(block + 4, i) << 4) + m;
}

// f16 d, 32 x u4: d * value of a table
void dequantise_iq4_nl(float* out, const std::byte* block) {
  const float d = half_at(block);
  for (std::size_t i = 0; i < kSmall; ++i)
    out[i] = d * static_cast<float>(kNonLinear[static_cast<std::size_t>(nibble_of_small(block + 2, i))]);
}

// 16 x (u4 scale, u4 min), 256 x u2, f16 d, f16 dmin: d * scale * q - dmin * min, for 16 elements each
void dequantise_q2_k(float* out, const std::byte* block) {
  const float d = half_at(block + 80), dmin = half_at(block + 82);
  for (std::size_t i = 0; i < kLarge; ++i) {
    const int scales = u8_at(block, i / 16), q = u8_at(block + 16, i / 128 * 32 + i % 32) >> (i / 32 % 4 * 2) & 3;
    out[i] = d * static_cast<float>(scales & 15) * static_cast<float>(q) - dmin * static_cast<float>(scales >> 4);
  }
}

// 256 third bits, 256 x u2, 16 x u6 scales, f16 d: d * (scale - 32) * (q - 4), for 16 elements each
void dequantise_q3_k(float* out, const std::byte* block) {
  const float d = half_at(block + 108);
  const std::byte* const scales = block + 96;  // the low four bits of all, then the high two
  for (std::size_t i = 0; i < kLarge; ++i) {
    const std::size_t group = i / 16;
    const int low = u8_at(scales, group % 8) >> (group / 8 * 4) & 15, high = u8_at(scales, 8 + group % 4) >> (group / 4 * 2) & 3;
    const int q = (u8_at(block + 32, i / 128 * 32 + i % 32) >> (i / 32 % 4 * 2) & 3) | (u8_at(block, i % 32) >> (i / 32) & 1) << 2;
    out[i] = d * static_cast<float>((low | high << 4) - 32) * static_cast<float>(q - 4);
  }
}

struct ScaleAndMin {
  float scale, min;
};
// Of 32 elements each, 6 bits of both in 12 bytes.
ScaleAndMin scale_and_min(const std::byte* bytes, std::size_t group) {
  if (group < 4) return {static_cast<float>(u8_at(bytes, group) & 63), static_cast<float>(u8_at(bytes, group + 4) & 63)};
  const int both = u8_at(bytes, group + 4);
  return {static_cast<float>((both & 15) | u8_at(bytes, group - 4) >> 6 << 4),
          static_cast<float>(both >> 4 | u8_at(bytes, group) >> 6 << 4)};
}

// f16 d, f16 dmin, 8 x (u6 scale, u6 min), 256 x u4: d * scale * q - dmin * min
void dequantise_q4_k(float* out, const std::byte* block) {
  const float d = half_at(block), dmin = half_at(block + 2);
  for (std::size_t group = 0; group < kLarge / 32; ++group) {
    const auto [scale, min] = scale_and_min(block + 4, group);
    const float factor = d * scale, offset = dmin * min;
    for (std::size_t i = group * 32; i < group * 32 + 32; ++i)
      out[i] = factor * static_cast<float>(nibble_of_large(block + 16, i)) - offset;
  }
}

// f16 d, f16 dmin, 8 x (u6 scale, u6 min), 256 fifth bits, 256 x u4: d * scale * q - dmin * min
void dequantise_q5_k(float* out, const std::byte* block) {
  const float d = half_at(block), dmin = half_at(block + 2);
  for (std::size_t group = 0; group < kLarge / 32; ++group) {
    const auto [scale, min] = scale_and_min(block + 4, group);
    const float factor = d * scale, offset = dmin * min;
    for (std::size_t i = group * 32; i < group * 32 + 32; ++i) {
      const int q = nibble_of_large(block + 48, i) | (u8_at(block + 16, i % 32) >> group & 1) << 4;
      out[i] = factor * static_cast<float>(q) - offset;
    }
  }
}

// 256 x u4, 256 x u2, 16 x i8 scales, f16 d: d * scale * (q - 32), for 16 elements each
void dequantise_q6_k(float* out, const std::byte* block) {
  const float d = half_at(block + 208);
  for (std::size_t i = 0; i < kLarge; ++i) {
    const std::size_t half = i / 128, place = i % 128;
    const int low = u8_at(block, half * 64 + place % 64) >> (place / 64 * 4) & 15;
    const int high = u8_at(block + 128, half * 32 + place % 32) >> (place / 32 * 2) & 3;
    out[i] = d * static_cast<float>(i8_at(block + 192, i / 16)) * static_cast<float>((low | high << 4) - 32);
  }
}

// f16 d, 16 high bits of 8 scales, 32 low bits of them, 256 x u4: d * (scale - 32) * value of a table, for 32 elements each
void dequantise_iq4_xs(float* out, const std::byte* block) {
  const float d = half_at(block);
  for (std::size_t i = 0; i < kLarge; ++i) {
    const std::size_t group = i / 32;
    const int low = u8_at(block + 4, group / 2) >> (group % 2 * 4) & 15, high = u8_at(block + 2, group / 4) >> (group % 4 * 2) & 3;
    const auto q = static_cast<std::size_t>(nibble_of_small(block + 8 + group * 16, i % 32));
    out[i] = d * static_cast<float>((low | high << 4) - 32) * static_cast<float>(kNonLinear[q]);
  }
}

constexpr std::array kGgufTypes = {
    GgufType{0, "F32", 1, 4, DType::f32, nullptr},
    GgufType{1, "F16", 1, 2, DType::f16, nullptr},
    GgufType{2, "Q4_0", kSmall, 18, DType::f32, dequantise_q4_0},
    GgufType{3, "Q4_1", kSmall, 20, DType::f32, dequantise_q4_1},
    GgufType{6, "Q5_0", kSmall, 22, DType::f32, dequantise_q5_0},
    GgufType{7, "Q5_1", kSmall, 24, DType::f32, dequantise_q5_1},
    GgufType{8, "Q8_0", kSmall, 34, DType::f32, dequantise_q8_0},
    GgufType{10, "Q2_K", kLarge, 84, DType::f32, dequantise_q2_k},
    GgufType{11, "Q3_K", kLarge, 110, DType::f32, dequantise_q3_k},
    GgufType{12, "Q4_K", kLarge, 144, DType::f32, dequantise_q4_k},
    GgufType{13, "Q5_K", kLarge, 176, DType::f32, dequantise_q5_k},
    GgufType{14, "Q6_K", kLarge, 210, DType::f32, dequantise_q6_k},
    GgufType{20, "IQ4_NL", kSmall, 18, DType::f32, dequantise_iq4_nl},
    GgufType{23, "IQ4_XS", kLarge, 136, DType::f32, dequantise_iq4_xs},
    GgufType{30, "BF16", 1, 2, DType::bf16, nullptr},
};

// By their numbers; empty: none has it.
constexpr std::array<std::string_view, 40> kGgufTypeNames = {
    "F32",  "F16",   "Q4_0",    "Q4_1",   "",        "",      "Q5_0",   "Q5_1",  "Q8_0",  "Q8_1",   "Q2_K", "Q3_K", "Q4_K", "Q5_K",
    "Q6_K", "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",   "I16",  "I32",  "I64",
    "F64",  "IQ1_M", "BF16",    "",       "",        "",      "TQ1_0",  "TQ2_0", "",      "",       "",     "MXFP4"};

}  // namespace

std::span<const GgufType> gguf_types() { return kGgufTypes; }

const GgufType* find_gguf_type(std::uint32_t number) {
  const auto* const found = std::ranges::find(kGgufTypes, number, &GgufType::number);
  return found != kGgufTypes.end() ? found : nullptr;
}

std::string_view gguf_type_name(std::uint32_t number) {
  return number < kGgufTypeNames.size() ? kGgufTypeNames[number] : std::string_view();
}

}  // namespace slora
