#include "engine/image_copy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "backend/backends.h"
#include "backend/forwarding_backend.h"

namespace slora {
namespace {

constexpr std::size_t kCopyPageBytes = 256;
constexpr ImageCopyLimits kLimits{.piece_bytes = 3 * kCopyPageBytes, .stretch_bytes = 9 * kCopyPageBytes};

// Copies when somebody waits for it, and counts what is under way.
class LateCopies final : public ForwardingBackend {
 public:
  LateCopies() : ForwardingBackend(create_reference_backend()) {}

  Fence copy_in(std::span<const CopyIn> copies) override {
    under_way_.emplace_back(copies.begin(), copies.end());
    most_under_way = std::max(most_under_way, under_way_.size());
    most_pages = std::max(most_pages, copies.size());
    return {++started_, Fence::Queue::copies};
  }
  bool wait(Fence fence, std::chrono::milliseconds) override {
    if (fence.number <= done_) return true;
    if (std::exchange(is_asked_again_, !is_asked_again_)) {  // every other time it takes longer
      for (const CopyIn& copy : under_way_.front()) std::memcpy(copy.to, copy.from, copy.bytes);
      under_way_.pop_front();
      ++done_;
      waits_next_to_another += under_way_.empty() ? 0 : 1;
    }
    return fence.number <= done_;
  }
  [[nodiscard]] std::size_t under_way() const { return under_way_.size(); }

  std::size_t most_under_way = 0, most_pages = 0, waits_next_to_another = 0;

 private:
  std::deque<std::vector<CopyIn>> under_way_;
  std::uint64_t started_ = 0, done_ = 0;
  bool is_asked_again_ = false;
};

struct CopyFixture {
  explicit CopyFixture(std::size_t count) : from_bytes(count * kCopyPageBytes), to_bytes(count * kCopyPageBytes, std::byte{0xff}) {
    for (std::size_t i = 0; i < from_bytes.size(); ++i) from_bytes[i] = static_cast<std::byte>(i / kCopyPageBytes * 7 + i % 5);
    for (std::size_t i = 0; i < count; ++i) {
      from.push_back(from_bytes.data() + i * kCopyPageBytes);
      to.push_back(to_bytes.data() + i * kCopyPageBytes);
    }
  }
  std::vector<std::byte> from_bytes, to_bytes;
  std::vector<std::byte*> from, to;
  LateCopies backend;
  Gate gate;
};

TEST(ImageCopy, HasTwoPiecesUnderWayAndEndsWithTheLast) {
  for (const std::size_t count : {1, 3, 4, 6, 9, 10, 25}) {
    CopyFixture fixture(count);
    EXPECT_TRUE(try_copy_image(fixture.backend, fixture.to, fixture.from, kCopyPageBytes, fixture.gate, kLimits));
    EXPECT_EQ(fixture.to_bytes, fixture.from_bytes) << count << " pages";
    EXPECT_EQ(fixture.backend.under_way(), 0u);
    EXPECT_EQ(fixture.backend.most_under_way, count > 3 ? 2u : 1u) << count << " pages";
    EXPECT_LE(fixture.backend.most_pages, 3u);
    if (count == 9) EXPECT_EQ(fixture.backend.waits_next_to_another, 2u);
    EXPECT_EQ(fixture.gate.pass_count(), (count + 8) / 9) << "stretches";
  }
}

TEST(ImageCopy, CopiesNothingBehindAClosedGate) {
  CopyFixture fixture(25);
  EXPECT_TRUE(fixture.gate.close());
  EXPECT_FALSE(try_copy_image(fixture.backend, fixture.to, fixture.from, kCopyPageBytes, fixture.gate, kLimits));
  EXPECT_EQ(fixture.backend.most_under_way, 0u);
}

TEST(ImageCopy, TakesPagesThatAreLargerThanAPiece) {
  CopyFixture fixture(5);
  EXPECT_TRUE(
      try_copy_image(fixture.backend, fixture.to, fixture.from, kCopyPageBytes, fixture.gate, {.piece_bytes = 1, .stretch_bytes = 1}));
  EXPECT_EQ(fixture.to_bytes, fixture.from_bytes);
}

}  // namespace
}  // namespace slora
