#include "model/weight_reader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <random>
#include <thread>

#include "backend/forwarding_backend.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

constexpr std::int64_t kIn = 700;
constexpr std::int64_t kFirstRows = 3000, kSecondRows = 45;  // several chunks; less than a group of rows, and not beginning with one

// A model's folder: the parts of one weight [3045, 700], the second before the first, and a vector between them.
class WeightReaderTest : public ::testing::Test {
 protected:
  WeightReaderTest() {
    std::mt19937_64 random(7);
    std::normal_distribution<float> numbers;
    for (std::vector<float>* values : {&second_, &vector_, &first_}) {
      values->resize(static_cast<std::size_t>(values == &vector_ ? kIn : kIn * (values == &first_ ? kFirstRows : kSecondRows)));
      for (float& value : *values) value = numbers(random);
    }
    const Status written = write_safetensors(
        path_, {tensor_to_write("second", DType::bf16, {kSecondRows, kIn}, second_), tensor_to_write("vector", DType::f32, {kIn}, vector_),
                tensor_to_write("first", DType::f16, {kFirstRows, kIn}, first_)});
    EXPECT_TRUE(written.has_value());
  }

  [[nodiscard]] ModelFiles open() const { return std::move(*ModelFiles::open(folder_.path())); }

  static std::unique_ptr<Backend> backend_of(int threads) {
    return std::move(*create_backend("cpu", {.threads = threads, .instructions = Instructions::portable}));
  }

  // The weight and the vector, as read with a backend.
  Status read(LinearWeight& weight, std::vector<float>& vector, Backend& backend, const LoadProgress& progress) {
    const ModelFiles files = open();
    WeightReader reader(files, backend);
    weight = backend.make_linear(kFirstRows + kSecondRows, kIn);
    vector.resize(kIn);
    reader.add_matrix(weight, 0, "first", {0, kFirstRows}, {0, kIn});
    reader.add_matrix(weight, kFirstRows, "second", {0, kSecondRows}, {0, kIn});
    reader.add_vector(vector, "vector", 0);
    return reader.read(progress);
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.file("model.safetensors");
  std::vector<float> first_, second_, vector_;
};

TEST_F(WeightReaderTest, PacksTheSameWeightOnAnyNumberOfThreads) {
  const std::unique_ptr<Backend> backend = backend_of(1);
  LinearWeight wanted = backend->make_linear(kFirstRows + kSecondRows, kIn);
  const auto pack_all = [&](std::int64_t row, DType dtype, std::int64_t rows, const std::vector<float>& values) {
    std::vector<std::byte> stored(values.size() * bytes_of(dtype));
    convert_from_float(stored.data(), dtype, values.data(), values.size());
    backend->pack_rows(wanted, row, Tensor{stored.data(), dtype, rows, kIn, kIn});
  };
  pack_all(0, DType::f16, kFirstRows, first_);
  pack_all(kFirstRows, DType::bf16, kSecondRows, second_);

  for (const int threads : {1, 2, 5}) {
    const std::unique_ptr<Backend> reading = backend_of(threads);
    LinearWeight weight;
    std::vector<float> vector;
    ASSERT_TRUE(read(weight, vector, *reading, {}).has_value());
    ASSERT_EQ(weight.packed.bytes(), wanted.packed.bytes());
    EXPECT_EQ(std::memcmp(weight.packed.data(), wanted.packed.data(), wanted.packed.bytes()), 0) << threads << " threads";
    EXPECT_EQ(vector, vector_);
  }
}

TEST_F(WeightReaderTest, ReadsPartsOfRowsAndColumnsAndOfVectors) {
  const std::unique_ptr<Backend> backend = std::move(*create_backend("reference", {}));
  const ModelFiles files = open();
  const Slice rows{1900, 700}, columns{350, 175};
  WeightReader reader(files, *backend);
  LinearWeight weight = backend->make_linear(rows.count + 1, columns.count);
  std::vector<float> part(100);
  reader.add_matrix(weight, 1, "first", rows, columns);
  reader.add_vector(part, "vector", 40);
  ASSERT_TRUE(reader.read({}).has_value());
  const auto* packed = reinterpret_cast<const float*>(weight.packed.data());
  for (std::int64_t row = 0; row < rows.count; ++row) {
    for (std::int64_t column = 0; column < columns.count; ++column) {
      const float expected = first_[static_cast<std::size_t>((rows.begin + row) * kIn + columns.begin + column)];
      ASSERT_NEAR(packed[(row + 1) * columns.count + column], expected, 2e-3f) << row << ", " << column;
    }
  }
  EXPECT_EQ(part, std::vector<float>(vector_.begin() + 40, vector_.begin() + 140));
}

TEST_F(WeightReaderTest, TellsItsCallerHowFarItIs) {
  const std::unique_ptr<Backend> backend = backend_of(3);
  std::uint64_t last = 0;
  const std::uint64_t total = open().total_bytes();
  LinearWeight weight;
  std::vector<float> vector;
  const Status status = read(weight, vector, *backend, [&, caller = std::this_thread::get_id()](std::uint64_t done, std::uint64_t of) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_GE(done, last);
    EXPECT_EQ(of, total);
    last = done;
  });
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(last, total);
}

TEST_F(WeightReaderTest, RefusesAFileThatShrinksMeanwhile) {
  const std::unique_ptr<Backend> backend = backend_of(3);
  const ModelFiles files = open();
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  WeightReader reader(files, *backend);
  LinearWeight weight = backend->make_linear(kFirstRows, kIn);
  reader.add_matrix(weight, 0, "first", {0, kFirstRows}, {0, kIn});
  const Status status = reader.read({});
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, "E_READ");
}

// Passes everything on and keeps the size of the largest piece that it was given.
class MeasuringBackend final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;

  void pack_rows(LinearWeight& weight, std::int64_t row_begin, Tensor rows) override {
    const std::int64_t bytes = rows.rows * rows.cols * static_cast<std::int64_t>(bytes_of(rows.dtype));
    for (std::int64_t seen = bytes_max_; seen < bytes && !bytes_max_.compare_exchange_weak(seen, bytes);) continue;
    rows_ += rows.rows;
    ForwardingBackend::pack_rows(weight, row_begin, rows);
  }

  [[nodiscard]] std::int64_t bytes_max() const { return bytes_max_; }
  [[nodiscard]] std::int64_t rows() const { return rows_; }

 private:
  std::atomic<std::int64_t> bytes_max_{0}, rows_{0};
};

TEST_F(WeightReaderTest, TakesNoMoreThanAMebibyteOfRowsAtOnce) {
  MeasuringBackend backend(backend_of(2));
  LinearWeight weight;
  std::vector<float> vector;
  ASSERT_TRUE(read(weight, vector, backend, {}).has_value());
  EXPECT_EQ(backend.rows(), kFirstRows + kSecondRows);
  EXPECT_LE(backend.bytes_max(), 1 << 20);
}

TEST_F(WeightReaderTest, TakesNoMoreThanAMebibyteOfWideRowsAtOnce) {
  constexpr std::int64_t kWideRows = 70, kWideIn = 14336;
  const std::vector<float> values(kWideRows * kWideIn, 0.5f);
  const TemporaryFolder folder;
  ASSERT_TRUE(write_safetensors(folder.file("model.safetensors"), {tensor_to_write("wide", DType::bf16, {kWideRows, kWideIn}, values)}));
  const ModelFiles files = std::move(*ModelFiles::open(folder.path()));
  MeasuringBackend backend(backend_of(2));
  LinearWeight weight = backend.make_linear(kWideRows, kWideIn);
  WeightReader reader(files, backend);
  reader.add_matrix(weight, 0, "wide", {0, kWideRows}, {0, kWideIn});
  ASSERT_TRUE(reader.read({}).has_value());
  EXPECT_EQ(backend.rows(), kWideRows);
  EXPECT_LE(backend.bytes_max(), 1 << 20);
}

}  // namespace
}  // namespace slora
