#include "backend/cuda/weight_upload.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "backend/cuda/testing/emulated_device.h"

namespace slora::cuda {
namespace {

// Row r, column c; exact in all three types.
float weight_at(std::int64_t row, std::int64_t column) { return static_cast<float>((7 * row + column) % 128) - 64.0f; }

// Rows of a file, with a gap between one and the next.
template <class T, class Convert>
std::vector<T> file_rows(std::int64_t begin, std::int64_t count, std::int64_t in, const Convert& convert) {
  std::vector<T> rows;
  for (std::int64_t row = begin; row < begin + count; ++row) {
    for (std::int64_t column = 0; column < in; ++column) rows.push_back(convert(weight_at(row, column)));
    rows.push_back(convert(1000.0f));
  }
  return rows;
}

Status pack(WeightUpload& upload, const LinearWeight& weight, std::int64_t begin, std::int64_t count, DType dtype) {
  const auto pack_as = [&](auto rows) {
    return upload.pack_rows(weight, begin, {reinterpret_cast<std::byte*>(rows.data()), dtype, count, weight.in, weight.in + 1});
  };
  if (dtype == DType::f32) return pack_as(file_rows<float>(begin, count, weight.in, [](float number) { return number; }));
  if (dtype == DType::bf16) return pack_as(file_rows<Bfloat16>(begin, count, weight.in, [](float number) { return to_bfloat16(number); }));
  return pack_as(file_rows<Float16>(begin, count, weight.in, [](float number) { return to_float16(number); }));
}

// How many elements are wrong, or are not zero behind a row.
std::int64_t wrong_count(EmulatedDevice& device, const LinearWeight& weight) {
  const Tensor matrix = WeightUpload::matrix_of(weight);
  std::vector<Bfloat16> packed(weight.packed.bytes() / sizeof(Bfloat16));
  device.read(packed.data(), weight.packed.data(), weight.packed.bytes());
  std::int64_t wrong = 0;
  for (std::int64_t row = 0; row < weight.out; ++row) {
    for (std::int64_t column = 0; column < matrix.row_stride; ++column) {
      const float expected = column < weight.in ? weight_at(row, column) : 0.0f;
      wrong += to_float(packed[static_cast<std::size_t>(row * matrix.row_stride + column)]) != expected ? 1 : 0;
    }
  }
  return wrong;
}

TEST(WeightUpload, PacksRowsOfEveryTypeInAnyOrder) {
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    EmulatedDevice device({.seed = seed, .pace = seed % 2 == 0 ? EmulatedDevice::Pace::late : EmulatedDevice::Pace::anywhere});
    {
      WeightUpload upload(device, 400);  // a few rows
      const LinearWeight weight = upload.make(23, static_cast<std::int64_t>(20 + seed)).value();
      EXPECT_EQ(weight.packed.bytes(), WeightUpload::weight_bytes(weight.out, weight.in));
      EXPECT_EQ(WeightUpload::matrix_of(weight).row_stride % 8, 0);
      EXPECT_TRUE(pack(upload, weight, 9, 14, DType::f16));
      EXPECT_TRUE(pack(upload, weight, 0, 1, DType::f32));
      EXPECT_TRUE(pack(upload, weight, 1, 8, DType::bf16));
      EXPECT_EQ(wrong_count(device, weight), 0) << "seed " << seed;
    }
    EXPECT_TRUE(device.take_faults().empty()) << "seed " << seed;
    EXPECT_EQ(device.live_count(), 0);
  }
}

TEST(WeightUpload, PacksRowsOfSeveralThreads) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    EmulatedDevice device({.seed = seed});
    {
      WeightUpload upload(device, 400);
      const LinearWeight weight = upload.make(60, 33).value();
      std::atomic<std::int32_t> failed{0};
      {
        std::vector<std::jthread> threads;
        for (std::int64_t begin = 0; begin < 60; begin += 20)
          threads.emplace_back([&, begin] { failed += pack(upload, weight, begin, 20, DType::f32) ? 0 : 1; });
      }
      EXPECT_EQ(failed, 0);
      EXPECT_EQ(wrong_count(device, weight), 0) << "seed " << seed;
    }
    EXPECT_TRUE(device.take_faults().empty());
    EXPECT_EQ(device.live_count(), 0);
  }
}

TEST(WeightUpload, TellsEveryErrorOfTheDevice) {
  std::int64_t told = 0;
  for (std::int64_t number = 0;; ++number) {
    EmulatedDevice device({});
    WeightUpload upload(device, 400);
    const LinearWeight weight = upload.make(23, 33).value();
    device.fail_call(number);
    const Status packed = pack(upload, weight, 0, 23, DType::f32);
    if (packed) break;
    EXPECT_NE(packed.error().message.find("failed as a test asked for"), std::string::npos) << packed.error().message;
    ++told;
  }
  EXPECT_GT(told, 12);
}

}  // namespace
}  // namespace slora::cuda
