#include "formats/readable_tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "formats/memory_file.h"
#include "formats/safetensors_writer.h"

namespace slora {
namespace {

using ::testing::ElementsAre;

// 0, 1, 2, ... as U8.
ReadableTensor counting_tensor(const std::string& name, std::vector<std::int64_t> shape) {
  std::uint64_t bytes = 1;
  for (const std::int64_t dimension : shape) bytes *= static_cast<std::uint64_t>(dimension);
  return {{name, DType::u8, std::move(shape), 0, bytes}, [](std::span<std::byte> out) -> Status {
            for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(i);
            return {};
          }};
}

std::vector<int> numbers_in(const ReadableTensor& tensor) {
  std::vector<std::byte> bytes(tensor.info.bytes);
  EXPECT_TRUE(tensor.read(bytes));
  std::vector<int> numbers;
  for (const std::byte byte : bytes) numbers.push_back(std::to_integer<int>(byte));
  return numbers;
}

TEST(ReadableTensor, IsTransposedWhenItIsRead) {
  const ReadableTensor turned = transposed(counting_tensor("a", {2, 3}));
  EXPECT_THAT(turned.info.shape, ElementsAre(3, 2));
  EXPECT_THAT(numbers_in(turned), ElementsAre(0, 3, 1, 4, 2, 5));
}

TEST(ReadableTensor, HasTheFirstOnesOfAllPairsBeforeTheSecondOnes) {
  EXPECT_THAT(numbers_in(with_pairs_apart(counting_tensor("a", {8}), 2)), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_THAT(numbers_in(with_pairs_apart(counting_tensor("a", {4, 2}), 1)), ElementsAre(0, 1, 4, 5, 2, 3, 6, 7));
}

TEST(ReadableTensor, BecomesASafetensorsFileInMemory) {
  const std::vector<ReadableTensor> tensors = {counting_tensor("b", {3}), counting_tensor("a", {2, 2}), counting_tensor("none", {0})};
  MemoryFile memory = MemoryFile::create("made.safetensors").value();
  ASSERT_TRUE(write_safetensors([&](std::span<const std::byte> bytes) { return memory.append(bytes); }, tensors));
  const auto file = std::make_shared<const SafetensorsFile>(SafetensorsFile::open(std::move(memory).finish()).value());
  EXPECT_EQ(file->name(), "made.safetensors");
  const std::vector<ReadableTensor> read = readable_tensors(file);
  ASSERT_EQ(read.size(), 3u);
  const auto a = std::ranges::find(read, "a", [](const ReadableTensor& tensor) { return tensor.info.name; });
  EXPECT_THAT(numbers_in(*a), ElementsAre(0, 1, 2, 3));
}

TEST(ReadableTensor, OfAFileInMemoryMayBeZerosThatTakeNoMemory) {
  const std::vector<ReadableTensor> tensors = {counting_tensor("a", {4})};
  const std::string beginning = safetensors_beginning(tensors);
  MemoryFile memory = MemoryFile::create("a").value();
  ASSERT_TRUE(memory.append(std::as_bytes(std::span(beginning))));
  ASSERT_TRUE(memory.extend_to(beginning.size() + 4));
  const auto file = std::make_shared<const SafetensorsFile>(SafetensorsFile::open(std::move(memory).finish()).value());
  EXPECT_THAT(numbers_in(readable_tensors(file)[0]), ElementsAre(0, 0, 0, 0));
}

}  // namespace
}  // namespace slora
