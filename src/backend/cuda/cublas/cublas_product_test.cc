#include "backend/cuda/cublas/cublas_product.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "backend/cuda/cublas/testing/fake_cublas.h"
#include "backend/cuda/testing/emulated_backend.h"
#include "backend/device_error.h"
#include "backend/testing/op_fixture.h"

namespace slora::cuda {
namespace {

using slora::testing::Matrix;
using slora::testing::Numbers;
using slora::testing::same_bits;

constexpr Site kOfTheOutput{0, SiteKind::o};
const ModelShape kModel{.layers = 2,
                        .heads = 4,
                        .kv_heads = 2,
                        .head_dim = 16,
                        .hidden = 64,
                        .intermediate = 96,
                        .vocabulary = 104,
                        .windows = {0},
                        .step_rows_max = 100,
                        .output_rows_max = 32};

// A backend whose products the double computes, and one that computes its own.
class CublasProducts : public ::testing::Test {
 protected:
  CublasProducts() { EXPECT_TRUE(backend_.prepare_model(kModel)); }

  [[nodiscard]] LinearWeight make_weight(Backend& backend, std::int64_t out, std::int64_t in) const {
    Numbers numbers(3);
    return slora::testing::pack(backend, out, in, numbers.vector(out * in), DType::bf16);
  }
  // The same numbers in any backend.
  [[nodiscard]] Matrix multiply(Backend& backend, const LinearWeight& weight, std::int64_t rows, DType dtype) const {
    Numbers numbers(5);
    const Matrix x(backend, DType::bf16, rows, weight.in, numbers.vector(rows * weight.in));
    Matrix y(backend, dtype, rows, weight.out);
    backend.ops().linear(y, x, weight, {}, {}, kOfTheOutput);
    return y;
  }

  FakeCublas* fake_ = nullptr;  // the second backend's
  EmulatedBackend own_{{}};
  EmulatedBackend backend_{{}, [this](EmulatedDevice& device) {
                             auto product = std::make_unique<FakeCublasProduct>(device);
                             fake_ = &product->fake();
                             return product;
                           }};
};

TEST_F(CublasProducts, AreThoseOfTheKernels) {
  const LinearWeight weight = make_weight(backend_, 72, 40), own_weight = make_weight(own_, 72, 40);
  for (const std::int64_t rows : {1, 5, 16, 40}) {
    const Matrix y = multiply(backend_, weight, rows, DType::bf16), want = multiply(own_, own_weight, rows, DType::bf16);
    EXPECT_TRUE(same_bits(y, want.tensor())) << rows << " rows";
  }
  EXPECT_EQ(fake_->multiplied_by.size(), 4u);
  EXPECT_EQ(fake_->fault, "");
}

TEST_F(CublasProducts, AskForAlgorithmsWhenAWeightIsMadeAndNeverAgain) {
  const LinearWeight weight = make_weight(backend_, 72, 40);
  const std::size_t asked = fake_->asked.size();
  ASSERT_GT(asked, 10u);
  for (std::size_t i = 0; i < asked; ++i) {
    EXPECT_EQ(fake_->asked[i].out, 72);
    EXPECT_EQ(fake_->asked[i].in, 40);
    EXPECT_EQ(fake_->asked[i].type, CUDA_R_16BF);
    EXPECT_EQ(fake_->asked[i].rows, CublasProduct::row_bucket(i == 0 ? 1 : fake_->asked[i - 1].rows + 1));
  }
  EXPECT_EQ(fake_->asked.front().rows, 1);
  EXPECT_EQ(fake_->asked.back().rows, 128);  // its algorithm serves 100, the most of a step
  const LinearWeight same_shape = make_weight(backend_, 72, 40);
  static_cast<void>(multiply(backend_, weight, 3, DType::bf16));
  EXPECT_EQ(fake_->asked.size(), asked);
}

TEST_F(CublasProducts, TakeTheFirstAlgorithmThatFits) {
  fake_->found = {FakeCublas::algorithm(1, 0, CUBLAS_STATUS_NOT_SUPPORTED), FakeCublas::algorithm(2, CublasProduct::kWorkspaceBytes + 1),
                  FakeCublas::algorithm(3, CublasProduct::kWorkspaceBytes), FakeCublas::algorithm(4)};
  const LinearWeight weight = make_weight(backend_, 8, 16);
  static_cast<void>(multiply(backend_, weight, 3, DType::bf16));
  EXPECT_EQ(fake_->multiplied_by, std::vector<std::uint64_t>{3});
}

TEST_F(CublasProducts, LeaveToTheKernelsWhatTheyHaveNoAlgorithmFor) {
  const auto expect_own = [&](const LinearWeight& weight, std::int64_t rows, DType dtype, const char* what) {
    const Matrix y = multiply(backend_, weight, rows, dtype);
    const Matrix want = multiply(own_, make_weight(own_, weight.out, weight.in), rows, dtype);
    EXPECT_TRUE(same_bits(y, want.tensor())) << what;
    EXPECT_TRUE(fake_->multiplied_by.empty()) << what;
  };
  fake_->found.clear();
  expect_own(make_weight(backend_, 8, 16), 3, DType::bf16, "none found");
  fake_->found = {FakeCublas::algorithm(1)};
  fake_->find_status = CUBLAS_STATUS_NOT_SUPPORTED;
  expect_own(make_weight(backend_, 8, 24), 3, DType::bf16, "not supported");
  fake_->find_status = CUBLAS_STATUS_SUCCESS;
  const LinearWeight weight = make_weight(backend_, 8, 32);
  expect_own(weight, 3, DType::f32, "results of another type than asked for");
  for (const cublasStatus_t status : {CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_INVALID_VALUE}) {
    fake_->multiply_status = status;
    expect_own(weight, 3, DType::bf16, "not supported after all");
  }
}

TEST_F(CublasProducts, LeaveBiasesToTheKernelsWhichRoundOnce) {
  LinearWeight weight = make_weight(backend_, 8, 16), own_weight = make_weight(own_, 8, 16);
  const std::vector<float> bias(8, 0.3f);
  weight.bias = backend_.make_vector(bias);
  own_weight.bias = own_.make_vector(bias);
  const Matrix y = multiply(backend_, weight, 3, DType::bf16), want = multiply(own_, own_weight, 3, DType::bf16);
  EXPECT_TRUE(same_bits(y, want.tensor()));
  EXPECT_TRUE(fake_->multiplied_by.empty());
}

TEST_F(CublasProducts, OfTheHeadAreInFp32) {
  const auto asked_in_fp32 = [&] {
    return std::ranges::count(fake_->asked, CUDA_R_32F, [](const FakeCublas::Asked& asked) { return asked.type; });
  };
  const LinearWeight other = make_weight(backend_, 96, 64);
  EXPECT_EQ(asked_in_fp32(), 0);
  const LinearWeight head = make_weight(backend_, 104, 64);
  EXPECT_GT(asked_in_fp32(), 0);
  const Matrix y = multiply(backend_, head, 7, DType::f32);
  EXPECT_TRUE(same_bits(y, multiply(own_, make_weight(own_, 104, 64), 7, DType::f32).tensor()));
  EXPECT_EQ(fake_->multiplied_by.size(), 1u);
}

TEST_F(CublasProducts, TellAnErrorOfTheLibraryInAStep) {
  const LinearWeight weight = make_weight(backend_, 8, 16);
  fake_->multiply_status = CUBLAS_STATUS_EXECUTION_FAILED;
  try {
    static_cast<void>(multiply(backend_, weight, 3, DType::bf16));
    ADD_FAILURE() << "expected an error";
  } catch (const DeviceError& failure) {
    EXPECT_STREQ(failure.what(), "cublasLtMatmul: refused");
  }
}

TEST_F(CublasProducts, NeedRowsThatBeginAtMultiplesOf16Bytes) {
  const LinearWeight weight = make_weight(backend_, 8, 16);
  Numbers numbers(5);
  const Matrix x(backend_, DType::bf16, 4, 18, numbers.vector(4 * 18));
  Matrix y(backend_, DType::bf16, 4, 8);
  const Tensor whole = x;
  backend_.ops().linear(y, whole.cols_from(2, 16), weight, {}, {}, kOfTheOutput);
  EXPECT_TRUE(fake_->multiplied_by.empty());
  backend_.ops().linear(y, whole.cols_from(0, 16), weight, {}, {}, kOfTheOutput);
  EXPECT_EQ(fake_->multiplied_by.size(), 1u);
}

TEST_F(CublasProducts, AreReplayedWithTheirStep) {
  const LinearWeight weight = make_weight(backend_, 24, 16), own_weight = make_weight(own_, 24, 16);
  const std::size_t asked = fake_->asked.size();
  Numbers numbers(5);
  const Matrix x(backend_, DType::bf16, 3, 16, numbers.vector(3 * 16));
  Matrix y(backend_, DType::bf16, 3, 24);
  for (std::int32_t step = 0; step < 4; ++step) {
    backend_.replay_step({.rows = 3}, [&] { backend_.ops().linear(y, x, weight, {}, {}, kOfTheOutput); });
  }
  EXPECT_TRUE(same_bits(y, multiply(own_, own_weight, 3, DType::bf16).tensor()));
  EXPECT_EQ(fake_->multiplied_by.size(), 2u);  // at the first step, and for the graph
  EXPECT_EQ(fake_->asked.size(), asked);
  for (const DeviceFault& fault : backend_.device().take_faults()) ADD_FAILURE() << name_of(fault.kind) << ": " << fault.what;
}

TEST(CublasProduct, SaysWhyThereIsNone) {
  EmulatedDevice device({});
  {
    FakeCublas fake(device);
    fake.create_status = CUBLAS_STATUS_ALLOC_FAILED;
    const auto none = CublasProduct::create(device, FakeCublas::functions());
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, "E_CUBLAS");
    EXPECT_EQ(none.error().message, "cublasLtCreate: no memory");
    fake.create_status = CUBLAS_STATUS_SUCCESS;
    device.fail_call(0);  // its workspace
    EXPECT_FALSE(CublasProduct::create(device, FakeCublas::functions()));
    ASSERT_TRUE(CublasProduct::create(device, FakeCublas::functions()));
    EXPECT_EQ(fake.handles, 0);
  }
  EXPECT_EQ(device.live_count(), 0);
}

TEST(CublasProduct, OfNvidiasLibraryNeedsADevice) {
  const Result<CublasFunctions> functions = load_cublas(cublas_library_name());
  if (!functions) GTEST_SKIP() << functions.error().message;
  EmulatedDevice device({});
  const Result<std::unique_ptr<CublasProduct>> product = CublasProduct::create(device, *functions);
  if (product) GTEST_SKIP() << "there is one";
  EXPECT_EQ(product.error().code, "E_CUBLAS");
  EXPECT_TRUE(product.error().message.starts_with("cublasLtCreate: ")) << product.error().message;
}

TEST(CublasProduct, ServesRowsByTheNextNumberThatItAskedFor) {
  std::int64_t buckets = 0;
  for (std::int64_t rows = 1; rows <= 4096; ++rows) {
    const std::int64_t bucket = CublasProduct::row_bucket(rows);
    EXPECT_GE(bucket, rows);
    EXPECT_EQ(CublasProduct::row_bucket(bucket), bucket);
    EXPECT_LE(bucket, rows + std::max<std::int64_t>(7, rows / 2)) << rows;
    if (bucket == rows) ++buckets;
  }
  EXPECT_LE(buckets, 40);
}

}  // namespace
}  // namespace slora::cuda
