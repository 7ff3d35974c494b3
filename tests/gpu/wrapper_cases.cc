#include "wrapper_cases.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <initializer_list>
#include <limits>

#include "tensor/dtype.h"

namespace slora::cuda {
namespace {

using Word = std::uint32_t;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::uint64_t below(std::mt19937_64& random, std::uint64_t end) { return random() % end; }
float uniform(std::mt19937_64& random, float min, float max) { return std::uniform_real_distribution<float>(min, max)(random); }
Word bits(float value) { return std::bit_cast<Word>(value); }
Word bf16_pair(float low, float high) { return static_cast<Word>(to_bfloat16(low).bits) | static_cast<Word>(to_bfloat16(high).bits) << 16; }
// A value of any magnitude, or one of these.
float any_float(std::mt19937_64& random, std::initializer_list<float> special) {
  if (below(random, 8) == 0) return *(special.begin() + below(random, special.size()));
  return std::ldexp(uniform(random, -2, 2), static_cast<int>(below(random, 60)) - 30);
}
bool is_nan_of_bf16(Word half) { return (half & 0x7fffu) > 0x7f80u; }

// Within so many units of 2^-23 of the expected value; what is below the smallest normal number may become zero.
double units(std::uint32_t found_bits, std::uint32_t expected_bits, double allowed, double absolute = 1.2e-38) {
  const auto found = static_cast<double>(std::bit_cast<float>(found_bits)),
             expected = static_cast<double>(std::bit_cast<float>(expected_bits));
  if (found == expected || (std::isnan(found) && std::isnan(expected))) return 0;
  const double distance = std::abs(found - expected) / (allowed * 0x1p-23 * std::abs(expected) + absolute);
  return std::isnan(distance) ? std::numeric_limits<double>::infinity() : distance;
}

}  // namespace

std::vector<Word> draw_input(const Wrapper& wrapper, std::mt19937_64& random) {
  const std::string_view name = wrapper.name;
  std::vector<Word> in(static_cast<std::size_t>(wrapper.in_words));
  for (Word& word : in) word = static_cast<Word>(random());
  const auto fill = [&](std::size_t begin, std::size_t end, const auto& draw) {
    std::generate(in.begin() + static_cast<std::ptrdiff_t>(begin), in.begin() + static_cast<std::ptrdiff_t>(end), draw);
  };
  if (name == "shuffle") {
    // Not NaN: a register that holds a float keeps its bits, but nobody promises that a compiler's constant does.
    fill(0, 32, [&] { return bits(uniform(random, -1, 1)); });
    fill(32, 64, [&] { return static_cast<Word>(below(random, 32)); });
  } else if (name == "warp_sum") {
    fill(0, 32, [&] { return bits(uniform(random, -1, 1)); });
  } else if (name == "mma_integers" || name == "mma_reals") {
    // Products and sums of small integers are exact in any order, so that a swapped fragment shows.
    const bool exact = name == "mma_integers";
    const auto number = [&] { return exact ? static_cast<float>(below(random, 257)) - 128 : uniform(random, -1, 1); };
    for (std::size_t lane = 0; lane < 32; ++lane) {
      fill(10 * lane, 10 * lane + 6, [&] { return bf16_pair(number(), number()); });
      fill(10 * lane + 6, 10 * lane + 10, [&] { return bits(number()); });
    }
  } else if (name == "load_matrices") {
    for (std::size_t i = 0; i < 32; ++i) in[128 + i] = static_cast<Word>(i);
    std::shuffle(in.begin() + 128, in.end(), random);
  } else if (name.starts_with("copy_async")) {
    // Whole, nothing, and any number of bytes between.
    const auto valid = [&](Word whole) { return below(random, 2) == 0 ? whole : static_cast<Word>(below(random, whole + 1)); };
    fill(32 * 7, 32 * 8, [&] { return valid(16); });
    fill(32 * 8, 32 * 9, [&] { return valid(8); });
    fill(32 * 9, 32 * 10, [&] { return valid(4); });
  } else if (name == "pack_bf16") {
    fill(0, in.size(), [&] {
      const auto half = static_cast<Word>(random()) & 0xffff0000u;  // a bf16, in the middle between two, or next to the middle
      const Word word =
          half | (below(random, 2) == 0 ? 0x8000u + static_cast<Word>(below(random, 3)) - 1 : static_cast<Word>(below(random, 65536)));
      return word;
    });
  } else if (name == "multiply_add") {
    fill(0, in.size(), [&] { return bits(any_float(random, {0.0f, 1.0f, -1.0f, 1e-40f, 3e38f, kInfinity})); });
  } else if (name == "larger") {
    // Kernels give it no NaN, of which CUDA takes the other number, and care for no zero's sign.
    fill(0, in.size(), [&] { return bits(any_float(random, {1.0f, -1.0f, kInfinity, -kInfinity, 3e38f})); });
  } else if (name == "power_of_two") {
    fill(0, in.size(), [&] {
      return bits(below(random, 8) == 0 ? any_float(random, {0.0f, -kInfinity, -200.0f, 200.0f, 1.0f}) : uniform(random, -140, 127));
    });
  } else if (name == "logarithm_of_two") {
    fill(0, in.size(), [&] { return bits(std::abs(any_float(random, {0.0f, 1.0f, 2.0f, 3e38f, kInfinity}))); });
  } else if (name == "reciprocal") {
    fill(0, in.size(), [&] { return bits(any_float(random, {0.0f, -0.0f, 1.0f, kInfinity, -kInfinity})); });
  } else if (name == "reciprocal_sqrt") {
    fill(0, in.size(), [&] { return bits(std::abs(any_float(random, {1.0f, 4.0f, 3e38f, kInfinity}))); });
  }
  return in;
}

double difference(std::string_view wrapper, Word found, Word expected) {
  if (found == expected) return 0;
  if (wrapper == "mma_reals") return units(found, expected, 0, 16 * 0x1p-22);  // sums of 17 numbers up to 1, each kept to 2^-22 or better
  if (wrapper == "power_of_two") return units(found, expected, 4);
  if (wrapper == "logarithm_of_two") return units(found, expected, 4, 0x1p-21);
  if (wrapper == "reciprocal") return units(found, expected, 2);
  if (wrapper == "reciprocal_sqrt") return units(found, expected, 4);
  if (wrapper == "multiply_add" && std::isnan(std::bit_cast<float>(found)) && std::isnan(std::bit_cast<float>(expected))) return 0;
  if (wrapper == "pack_bf16") {  // NaN keeps other bits
    const auto same = [](Word a, Word b) { return a == b || (is_nan_of_bf16(a) && is_nan_of_bf16(b)); };
    if (same(found & 0xffffu, expected & 0xffffu) && same(found >> 16, expected >> 16)) return 0;
  }
  return std::numeric_limits<double>::infinity();
}

}  // namespace slora::cuda
