#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "backend/testing/op_fixture.h"

// What the tests of TrainOps share: every backend that trains, and derivatives by central differences.
namespace slora::testing {

constexpr double kExact = 2e-6;    // fp32 sums of exact inputs
constexpr double kRounded = 5e-3;  // an input that was rounded to bf16

class TrainTest : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    if (train_ == nullptr) GTEST_SKIP() << "a backend that does not train";
  }
  [[nodiscard]] Matrix fp32(std::int64_t rows, std::int64_t cols, const std::vector<float>& values) const {
    return {*backend_, DType::f32, rows, cols, values};
  }
  [[nodiscard]] Matrix fp32(std::int64_t rows, std::int64_t cols) const { return {*backend_, DType::f32, rows, cols}; }
  [[nodiscard]] Matrix activation(std::int64_t rows, std::int64_t cols, const std::vector<float>& values) const {
    return {*backend_, backend_->activation_dtype(), rows, cols, values};
  }
  [[nodiscard]] Matrix product(std::int64_t rows, std::int64_t cols, const std::vector<float>& values) const {
    return {*backend_, backend_->product_dtype(), rows, cols, values};
  }
  std::vector<float> random(std::int64_t count) { return numbers_.vector(count); }

  std::unique_ptr<Backend> backend_ = open(GetParam());
  Ops& ops_ = backend_->ops();
  TrainOps* const train_ = backend_->train_ops();
  Numbers numbers_{29};
};

inline std::string label_of(const ::testing::TestParamInfo<Variant>& variant) { return variant.param.label; }

inline std::vector<double> widened(const std::vector<float>& values) { return {values.begin(), values.end()}; }

// The derivative of sum(d_out * forward(x)) by x. The difference of two results in double precision errs by some 1e-10.
template <class Forward>
std::vector<double> central_differences(std::vector<double> x, const std::vector<float>& d_out, Forward forward) {
  constexpr double kStep = 3e-6;
  const auto loss = [&] {
    const std::vector<double> out = forward(x);
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += d_out[i] * out[i];
    return sum;
  };
  std::vector<double> derivative;
  for (double& element : x) {
    const double at = element;
    element = at + kStep;
    const double above = loss();
    element = at - kStep;
    const double below = loss();
    element = at;
    derivative.push_back((above - below) / (2 * kStep));
  }
  return derivative;
}

}  // namespace slora::testing
