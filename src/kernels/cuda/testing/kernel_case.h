#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/emulator/device.h"
#include "kernels/cuda/emulator/testing/device_array.h"
#include "kernels/cuda/stream.h"

namespace slora::cuda {

struct Tolerance {
  double relative = 0;
  double absolute = 0;
};
inline constexpr Tolerance kExact{};
inline constexpr Tolerance kOneRounding{1.0 / 256 + 1e-5, 1e-6};  // to bf16, of what fp32 computed: half a unit in the last of 8 bits

// One random case of a check: an emulated device, numbers to draw, and the first thing that was wrong.
class KernelCase {
 public:
  explicit KernelCase(std::uint64_t seed) : device_({.seed = seed}), random_(seed) {}

  [[nodiscard]] emulator::Device& device() { return device_; }
  [[nodiscard]] Stream stream() { return device_.stream(); }

  // min .. max, both included.
  std::int32_t draw(std::int32_t min, std::int32_t max) { return std::uniform_int_distribution<std::int32_t>(min, max)(random_); }
  template <class T>
  T pick(std::initializer_list<T> values) {
    return *(values.begin() + draw(0, static_cast<std::int32_t>(values.size()) - 1));
  }
  bool one_in(std::int32_t count) { return draw(1, count) == 1; }
  // A number of magnitude 1 that bf16 holds exactly.
  float number();
  std::vector<float> numbers(std::size_t count);
  // Multiples of 1/8 from -1 to 1: sums of thousands of their products are exact in fp32.
  std::vector<float> eighths(std::size_t count);
  // Factors that leave sums exact.
  std::vector<float> powers_of_two(std::size_t count);

  void fail(std::string what) {
    if (failure_.empty()) failure_ = std::move(what);
  }
  // Fails unless `got` is `expected` within the tolerance.
  void expect_near(float got, double expected, Tolerance tolerance, const char* what, std::int64_t row, std::int64_t column);

  // Empty when nothing was wrong; else the device's first fault, a count of bank conflicts (none is expected), or the first wrong value.
  [[nodiscard]] std::string finish();

 private:
  emulator::Device device_;
  std::mt19937_64 random_;
  std::string failure_;
};

}  // namespace slora::cuda
