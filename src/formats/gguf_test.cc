// What is refused: tests/golden/foreign_refused, which foreign_adapter_test reads, and gguf_model_test.
#include "formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/testing/source_path.h"
#include "formats/safetensors.h"

namespace slora {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

GgufFile gguf_of(const std::string& path) { return read_gguf(ReadOnlyFile::open(source_path(path)).value()).value(); }

std::vector<float> floats_of(const GgufFile& file, const GgufTensor& tensor) {
  std::vector<float> numbers(tensor.info.bytes / sizeof(float));
  EXPECT_TRUE(readable_tensor(file, tensor).read(std::as_writable_bytes(std::span(numbers))));
  return numbers;
}

TEST(Gguf, HasEntriesByTheirKeys) {
  const GgufFile file = gguf_of("tests/corpora/gguf/lora.gguf");
  EXPECT_EQ(*file.find_as<std::string>("general.type"), "adapter");
  EXPECT_EQ(*file.find_as<double>("adapter.lora.alpha"), 4.0);
  EXPECT_EQ(file.find_as<std::int64_t>("adapter.lora.alpha"), nullptr) << "which is no integer";
  EXPECT_EQ(file.find("adapter.lora.beta"), nullptr);
}

TEST(Gguf, HasTensorsWithTheOutermostDimensionFirst) {
  const GgufFile file = gguf_of("tests/corpora/gguf/lora.gguf");
  ASSERT_EQ(file.tensors.size(), 2u);
  EXPECT_EQ(file.tensors[0].info.name, "blk.0.attn_q.weight.lora_a");
  EXPECT_THAT(file.tensors[0].info.shape, ElementsAre(1, 48));
  EXPECT_THAT(file.tensors[1].info.shape, ElementsAre(48, 1));
  EXPECT_THAT(floats_of(file, file.tensors[1]), Each(1.0f));
}

// Random blocks of every type, and what gguf's Python package makes of them: tools/golden_gguf.py.
class GgufTypes : public ::testing::Test {
 protected:
  const GgufFile file_ = gguf_of("tests/golden/gguf/types.gguf");
  const SafetensorsFile expected_ = SafetensorsFile::open(source_path("tests/golden/gguf/types_expected.safetensors")).value();

  [[nodiscard]] std::vector<float> expected(const std::string& name) const {
    const TensorInfo* const info = expected_.find(name);
    check(info != nullptr && info->dtype == DType::f32, "expected golden numbers");
    std::vector<float> numbers(info->bytes / sizeof(float));
    check(expected_.read(*info, std::as_writable_bytes(std::span(numbers))).has_value(), "expected readable golden data");
    return numbers;
  }
};

TEST_F(GgufTypes, StandForTheNumbersThatGgmlMakesOfThemToTheBit) {
  ASSERT_EQ(file_.tensors.size(), gguf_types().size());
  for (const GgufTensor& tensor : file_.tensors) {
    const std::vector<float> wanted = expected(tensor.info.name);
    std::vector<std::byte> bytes(tensor.info.bytes);
    ASSERT_TRUE(readable_tensor(file_, tensor).read(bytes));
    std::vector<float> found(wanted.size());
    convert_to_float(found.data(), bytes.data(), tensor.info.dtype, found.size());
    EXPECT_EQ(std::memcmp(found.data(), wanted.data(), found.size() * sizeof(float)), 0) << tensor.info.name;
  }
}

// Weights are read a few rows at a time.
TEST_F(GgufTypes, AreReadInAnyRows) {
  std::mt19937 random(5);
  for (const GgufTensor& tensor : file_.tensors) {
    const std::int64_t rows = tensor.info.shape[0];
    std::vector<std::byte> whole(tensor.info.bytes);
    ASSERT_TRUE(readable_tensor(file_, tensor).read(whole));
    const std::size_t row_bytes = whole.size() / static_cast<std::size_t>(rows);
    const auto form = gguf_form(file_.file, tensor, 0);
    for (int i = 0; i < 20; ++i) {
      const std::size_t first = random() % static_cast<std::size_t>(rows), count = 1 + random() % (static_cast<std::size_t>(rows) - first);
      std::vector<std::byte> part(count * row_bytes);
      ASSERT_TRUE(form->read_rows(static_cast<std::int64_t>(first), part));
      ASSERT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(first * row_bytes))) << tensor.info.name;
    }
    EXPECT_EQ(form->stored_as(), tensor.info.name);
  }
}

// Row 2 * pair + half of a head becomes row half * pairs + pair.
TEST_F(GgufTypes, HaveTheRowsOfPairsApart) {
  const GgufTensor& tensor = file_.tensors.front();
  ASSERT_EQ(tensor.info.shape[0], 6);
  const std::vector<float> stored = floats_of(file_, tensor);
  std::vector<float> found(stored.size());
  ASSERT_TRUE(gguf_form(file_.file, tensor, 1)->read_rows(0, std::as_writable_bytes(std::span(found))));
  const std::size_t columns = stored.size() / 6;
  constexpr std::array<std::size_t, 6> kStored = {0, 2, 4, 1, 3, 5};
  for (std::size_t row = 0; row < 6; ++row) {
    EXPECT_TRUE(std::equal(found.begin() + static_cast<std::ptrdiff_t>(row * columns),
                           found.begin() + static_cast<std::ptrdiff_t>((row + 1) * columns),
                           stored.begin() + static_cast<std::ptrdiff_t>(kStored[row] * columns)))
        << row;
  }
}

}  // namespace
}  // namespace slora
