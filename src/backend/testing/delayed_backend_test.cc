#include "backend/testing/delayed_backend.h"

#include <gmock/gmock.h>

#include <cstring>

#include "backend/device_error.h"
#include "backend/testing/op_fixture.h"
#include "backend/testing/recording_backend.h"

namespace slora::testing {
namespace {

using ::testing::Each;

void wait_for(Backend& backend, Fence fence) {
  while (!backend.wait(fence, std::chrono::milliseconds(100))) continue;
}

std::vector<float> downloaded_step(Backend& backend, Tensor tensor) {
  std::vector<float> numbers(static_cast<std::size_t>(tensor.cols));
  wait_for(backend, backend.download_step(std::as_writable_bytes(std::span(numbers)), tensor.data));
  return numbers;
}

TEST(DelayedBackend, CallsOpsInTheirOrder) {
  DelayedBackend backend(open({"reference", "reference"}), {.seed = 1});
  const Matrix x(backend, DType::f32, 1, 4);
  for (int i = 0; i < 200; ++i) backend.ops().fill(x, static_cast<float>(i));
  EXPECT_THAT(downloaded_step(backend, x), Each(199.0f));
  EXPECT_TRUE(backend.wait(Fence{}, std::chrono::milliseconds(0)));
}

TEST(DelayedBackend, OverwritesTheBytesOfAStepWhenItHasThem) {
  DelayedBackend backend(open({"reference", "reference"}), {.depth = 2, .seed = 2});
  const Buffer bytes = backend.host_memory(64);
  std::memset(bytes.data(), 7, bytes.bytes());
  const std::byte* const first = backend.upload_step(0, {bytes.data(), bytes.bytes()});
  wait_for(backend, backend.mark());
  EXPECT_EQ(first[63], std::byte{7});
  EXPECT_NE(bytes.data()[63], std::byte{7});
  EXPECT_EQ(backend.upload_step(0, {bytes.data(), 8}), first);
  EXPECT_NE(backend.upload_step(1, {bytes.data(), 8}), first);
  wait_for(backend, backend.mark());
}

TEST(DelayedBackend, RepeatsTheCallsOfTheFirstStepWithAKey) {
  std::atomic<std::uint64_t> replayed_count{0};
  DelayedBackend backend(open({"reference", "reference"}), {.seed = 3, .replayed_count = &replayed_count});
  const Matrix x(backend, DType::f32, 1, 4);
  for (int step = 0; step < 3; ++step) {
    backend.replay_step({.rows = step / 2}, [&] { backend.ops().fill(x, static_cast<float>(step)); });
    EXPECT_THAT(downloaded_step(backend, x), Each(step < 2 ? 0.0f : 2.0f)) << "an argument that varied within a key";
  }
  EXPECT_EQ(replayed_count, 1u);
}

TEST(DelayedBackend, CopiesPagesNextToItsOps) {
  DelayedBackend backend(open({"reference", "reference"}), {.seed = 4});
  const Buffer from(256), to = backend.allocate(256);
  std::memset(from.data(), 5, from.bytes());
  const std::vector<CopyIn> copies = {{to.data() + 128, from.data(), 128}, {to.data(), from.data() + 128, 128}};
  wait_for(backend, backend.copy_in(copies));
  EXPECT_TRUE(std::all_of(to.data(), to.data() + 256, [](std::byte byte) { return byte == std::byte{5}; }));
}

TEST(DelayedBackend, ThrowsWhatAnOpThrewWhereItIsWaitedFor) {
  auto failing = std::make_unique<RecordingBackend>(open({"reference", "reference"}), [](std::string_view) { throw DeviceError("lost"); });
  DelayedBackend backend(std::move(failing), {.seed = 5});
  const Matrix x(backend, DType::f32, 1, 4);
  backend.ops().fill(x, 1.0f);
  EXPECT_THROW(wait_for(backend, backend.mark()), DeviceError);
}

}  // namespace
}  // namespace slora::testing
