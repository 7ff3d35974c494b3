#include "tensor/buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace slora {
namespace {

bool is_aligned(const Buffer& buffer, std::size_t to) { return reinterpret_cast<std::uintptr_t>(buffer.data()) % to == 0; }

TEST(Buffer, IsZeroedAlignedAndWritableToTheEnd) {
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{63}, std::size_t{4097}, (std::size_t{2} << 20) - 1, (std::size_t{2} << 20) + 1}) {
    const Buffer buffer(bytes);
    EXPECT_EQ(buffer.bytes(), bytes);
    EXPECT_TRUE(is_aligned(buffer, 64));
    EXPECT_TRUE(std::all_of(buffer.data(), buffer.data() + bytes, [](std::byte byte) { return byte == std::byte{0}; }));
    buffer.data()[bytes - 1] = std::byte{1};
  }
}

TEST(Buffer, BeginsOnAHugePageWhenItIsLarge) {
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(is_aligned(Buffer(std::size_t{3} << 20), std::size_t{2} << 20));
}

TEST(Buffer, TakesNoMemoryUntilItIsTouched) {
  const Buffer buffer(std::size_t{1} << 36);
  EXPECT_EQ(buffer.data()[std::size_t{1} << 35], std::byte{0});
}

TEST(Buffer, MovesWithItsMemory) {
  Buffer first(128);
  std::byte* data = first.data();
  data[5] = std::byte{9};
  Buffer second = std::move(first);
  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(second.bytes(), 128u);
  EXPECT_EQ(second.data()[5], std::byte{9});
  second = Buffer(64);
  EXPECT_EQ(second.bytes(), 64u);
}

TEST(Buffer, MayBeEmpty) {
  EXPECT_EQ(Buffer().data(), nullptr);
  EXPECT_EQ(Buffer(0).data(), nullptr);
}

TEST(Buffer, FreesAdoptedMemoryWithItsDeleter) {
  std::byte memory[32];
  int freed = 0;
  {
    Buffer adopted = Buffer::adopt({memory, [&](std::byte*) { ++freed; }}, sizeof memory);
    EXPECT_EQ(adopted.data(), memory);
    EXPECT_EQ(adopted.bytes(), 32u);
    const Buffer moved = std::move(adopted);
    EXPECT_EQ(freed, 0);
  }
  EXPECT_EQ(freed, 1);
}

TEST(Buffer, IsViewedAsAMatrix) {
  const Buffer buffer(4 * 6 * 2);
  const Tensor matrix = buffer.view(DType::bf16, 4, 6);
  EXPECT_EQ(matrix.data, buffer.data());
  EXPECT_EQ(matrix.row_stride, 6);
  EXPECT_EQ(matrix.row_bytes(3) - buffer.data(), 36);
}

TEST(BufferArena, CutsZeroedBuffersFromOneMapping) {
  BufferArena arena;
  const Buffer first = arena.take(100);
  const Buffer second = arena.take(5000);
  EXPECT_EQ(first.bytes(), 100u);
  EXPECT_EQ(second.bytes(), 5000u);
  EXPECT_GE(second.data(), first.data() + first.bytes());
  EXPECT_LT(second.data(), first.data() + (std::size_t{2} << 20)) << "the rest of the same huge page";
  for (const Buffer* buffer : {&first, &second}) {
    EXPECT_TRUE(is_aligned(*buffer, 64));
    EXPECT_TRUE(std::all_of(buffer->data(), buffer->data() + buffer->bytes(), [](std::byte byte) { return byte == std::byte{0}; }));
  }
  EXPECT_EQ(arena.take(0).data(), nullptr);
}

TEST(BufferArena, TakesAnyMixOfSizes) {
  BufferArena arena;
  std::vector<Buffer> buffers;
  for (const std::size_t bytes :
       {std::size_t{1} << 20, std::size_t{300} << 20, std::size_t{100} << 20, std::size_t{100} << 20, std::size_t{100} << 20}) {
    Buffer& buffer = buffers.emplace_back(arena.take(bytes));
    ASSERT_EQ(buffer.bytes(), bytes);
    buffer.data()[0] = buffer.data()[bytes - 1] = std::byte{7};
  }
  std::ranges::sort(buffers, {}, &Buffer::data);
  for (std::size_t i = 1; i < buffers.size(); ++i) EXPECT_LE(buffers[i - 1].data() + buffers[i - 1].bytes(), buffers[i].data());
}

TEST(BufferArena, LivesOnInItsBuffers) {
  Buffer kept;
  {
    BufferArena arena;
    static_cast<void>(arena.take(64));
    kept = arena.take(64);
  }
  kept.data()[63] = std::byte{3};
  EXPECT_EQ(kept.data()[63], std::byte{3});
}

TEST(BufferDeathTest, RefusesViewsThatDoNotFit) {
  const Buffer buffer(47);
  EXPECT_DEATH(static_cast<void>(buffer.view(DType::bf16, 4, 6)), "a tensor no larger than its buffer");
}

}  // namespace
}  // namespace slora
