// What is refused is in tests/golden/foreign_refused, which foreign_adapter_test reads.
#include "formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/source_path.h"

namespace slora {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

GgufFile gguf_of_corpus(const std::string& name) {
  return read_gguf(ReadOnlyFile::open(source_path("tests/corpora/gguf/" + name)).value()).value();
}

std::vector<float> floats_in(const ReadableTensor& tensor) {
  std::vector<float> numbers(tensor.info.bytes / sizeof(float));
  EXPECT_TRUE(tensor.read(std::as_writable_bytes(std::span(numbers))));
  return numbers;
}

TEST(Gguf, HasEntriesByTheirKeys) {
  const GgufFile file = gguf_of_corpus("lora.gguf");
  EXPECT_EQ(std::get<std::string>(*file.find("general.type")), "adapter");
  EXPECT_EQ(std::get<double>(*file.find("adapter.lora.alpha")), 4.0);
  EXPECT_EQ(file.find("adapter.lora.beta"), nullptr);
}

TEST(Gguf, HasTensorsWithTheOutermostDimensionFirst) {
  const GgufFile file = gguf_of_corpus("lora.gguf");
  ASSERT_EQ(file.tensors.size(), 2u);
  EXPECT_EQ(file.tensors[0].info.name, "blk.0.attn_q.weight.lora_a");
  EXPECT_THAT(file.tensors[0].info.shape, ElementsAre(1, 48));
  EXPECT_THAT(file.tensors[1].info.shape, ElementsAre(48, 1));
  EXPECT_THAT(floats_in(file.tensors[1]), Each(1.0f));
}

// 1 is 127 times the block's factor, which is 1/127 in F16.
TEST(Gguf, HasTheNumbersThatQ8StandsFor) {
  const GgufFile file = gguf_of_corpus("q8.gguf");
  EXPECT_EQ(file.tensors[0].info.dtype, DType::f32);
  EXPECT_THAT(file.tensors[0].info.shape, ElementsAre(32, 64));
  EXPECT_THAT(floats_in(file.tensors[0]), Each(127 * to_float(to_float16(1.0f / 127))));
}

}  // namespace
}  // namespace slora
