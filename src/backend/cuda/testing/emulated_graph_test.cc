// Graphs of the emulated device.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "backend/cuda/testing/device_calls.h"
#include "backend/cuda/testing/emulated_device.h"
#include "kernels/cuda/device.h"

namespace slora::cuda {
namespace {

constexpr std::uint64_t kGraphSeeds = 40;

// list[0] numbers follow.
__global__ void append_value(std::int32_t* list, std::int32_t value) {
  if (thread_index() == 0) list[++list[0]] = value;
}
__global__ void append_from(std::int32_t* list, const std::int32_t* value) {
  if (thread_index() == 0) list[++list[0]] = *value;
}

struct GraphFixture {
  static constexpr std::size_t kBytes = 64;

  explicit GraphFixture(std::uint64_t seed) : device({.seed = seed, .are_kernels_loaded_lazily = false}) {
    stream = calls(device.make_stream(StreamPriority::normal));
    branch = calls(device.make_stream(StreamPriority::normal));
    forked = calls(device.make_event());
    joined = calls(device.make_event());
    list = reinterpret_cast<std::int32_t*>(calls(device.allocate(kBytes)));
    value = reinterpret_cast<std::int32_t*>(calls(device.allocate(4)));
    host_value = reinterpret_cast<std::int32_t*>(calls(device.allocate_host(4)));
    calls(device.fill_bytes(stream, list, 0, kBytes));
    calls(device.synchronise(stream));
  }
  ~GraphFixture() { EXPECT_FALSE(calls.have_failed()) << calls.error()->message; }

  std::vector<std::int32_t> finish() {
    calls(device.synchronise(stream));
    std::vector<std::int32_t> numbers(kBytes / 4);
    device.read(numbers.data(), list, kBytes);
    return {numbers.begin() + 1, numbers.begin() + 1 + numbers[0]};
  }
  void append(Stream into, std::int32_t number) { launch(append_value, {1, kWarpThreads}, into, list, number); }

  EmulatedDevice device;
  DeviceCalls calls;
  Stream stream, branch;
  Event forked, joined;
  std::int32_t *list, *value, *host_value;
};

TEST(EmulatedGraph, RepeatsTheArgumentsOfTheCaptureWithWhatMemoryHoldsNow) {
  for (std::uint64_t seed = 1; seed <= kGraphSeeds; ++seed) {
    GraphFixture fixture(seed);
    *fixture.host_value = 1;
    std::int32_t number = 100;
    fixture.calls(fixture.device.begin_capture(fixture.stream));
    fixture.calls(fixture.device.upload(fixture.stream, fixture.value, fixture.host_value, 4));
    launch(append_from, {1, kWarpThreads}, fixture.stream, fixture.list, fixture.value);
    fixture.append(fixture.stream, number);
    const Graph graph = fixture.calls(fixture.device.end_capture(fixture.stream));
    EXPECT_TRUE(fixture.finish().empty()) << "what is captured is not done";
    for (std::int32_t step = 1; step <= 3; ++step) {
      *fixture.host_value = step;
      number = 100 * step;  // a host's value that a graph does not follow
      fixture.calls(fixture.device.replay(graph, fixture.stream));
      fixture.calls(fixture.device.synchronise(fixture.stream));
    }
    EXPECT_EQ(fixture.finish(), (std::vector<std::int32_t>{1, 100, 2, 100, 3, 100})) << "seed " << seed;
    fixture.calls(fixture.device.destroy(graph));
  }
}

TEST(EmulatedGraph, HoldsBranchesThatRunNextToEachOther) {
  std::int32_t branch_first = 0;
  for (std::uint64_t seed = 1; seed <= kGraphSeeds; ++seed) {
    GraphFixture fixture(seed);
    fixture.calls(fixture.device.begin_capture(fixture.stream));
    fixture.append(fixture.stream, 1);
    fixture.calls(fixture.device.record(fixture.forked, fixture.stream));
    fixture.calls(fixture.device.wait(fixture.branch, fixture.forked));
    fixture.append(fixture.branch, 2);
    fixture.append(fixture.stream, 3);
    fixture.calls(fixture.device.record(fixture.joined, fixture.branch));
    fixture.calls(fixture.device.wait(fixture.stream, fixture.joined));
    fixture.append(fixture.stream, 4);
    const Graph graph = fixture.calls(fixture.device.end_capture(fixture.stream));
    fixture.append(fixture.branch, 9);  // not captured any more, and not ordered with the graph
    fixture.calls(fixture.device.synchronise(fixture.branch));
    fixture.calls(fixture.device.replay(graph, fixture.stream));
    std::vector<std::int32_t> order = fixture.finish();
    ASSERT_EQ(order.size(), 5u) << "seed " << seed;
    EXPECT_EQ(order[0], 9);
    EXPECT_EQ(order[1], 1);
    EXPECT_EQ(order[4], 4);
    branch_first += order[2] == 2 ? 1 : 0;
  }
  EXPECT_GT(branch_first, 4);
  EXPECT_LT(branch_first, static_cast<std::int32_t>(kGraphSeeds) - 4);
}

TEST(EmulatedGraph, SeesABranchThatIsNotWaitedFor) {
  GraphFixture fixture(1);
  fixture.calls(fixture.device.begin_capture(fixture.stream));
  fixture.append(fixture.stream, 1);
  fixture.calls(fixture.device.record(fixture.forked, fixture.stream));
  fixture.calls(fixture.device.wait(fixture.branch, fixture.forked));
  fixture.append(fixture.branch, 2);
  EXPECT_FALSE(fixture.device.end_capture(fixture.stream));
  const std::vector<DeviceFault> faults = fixture.device.take_faults();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].kind, DeviceFaultKind::capture);
  EXPECT_TRUE(fixture.finish().empty());
}

TEST(EmulatedGraph, SeesCallsThatHaveNoPlaceInACapture) {
  GraphFixture fixture(1);
  fixture.calls(fixture.device.record(fixture.joined, fixture.branch));
  fixture.calls(fixture.device.begin_capture(fixture.stream));
  EXPECT_FALSE(fixture.device.allocate(1));
  EXPECT_FALSE(fixture.device.synchronise(fixture.branch));
  EXPECT_FALSE(fixture.device.wait(fixture.stream, fixture.joined));  // recorded outside
  EXPECT_FALSE(fixture.device.begin_capture(fixture.branch));
  const PieceCopy piece{fixture.value, fixture.host_value, 4};
  EXPECT_FALSE(fixture.device.upload_pieces(fixture.stream, {&piece, 1}));
  fixture.calls(fixture.device.record(fixture.forked, fixture.stream));
  EXPECT_FALSE(fixture.device.is_done(fixture.forked));
  const Graph graph = fixture.calls(fixture.device.end_capture(fixture.stream));
  EXPECT_FALSE(fixture.device.wait(fixture.branch, fixture.forked));  // its capture has ended
  const std::vector<DeviceFault> faults = fixture.device.take_faults();
  EXPECT_EQ(faults.size(), 7u);
  EXPECT_TRUE(std::ranges::all_of(faults, [](const DeviceFault& fault) { return fault.kind == DeviceFaultKind::capture; }));
  fixture.calls(fixture.device.replay(graph, fixture.stream));  // of nothing
  EXPECT_TRUE(fixture.finish().empty());
}

TEST(EmulatedGraph, SeesAKernelWhoseFirstLaunchIsInACapture) {
  EmulatedDevice device({});
  DeviceCalls calls;
  const Stream stream = calls(device.make_stream(StreamPriority::normal));
  auto* const list = reinterpret_cast<std::int32_t*>(calls(device.allocate(64)));
  calls(device.fill_bytes(stream, list, 0, 64));
  for (const bool is_first : {true, false}) {
    calls(device.begin_capture(stream));
    launch(append_value, {1, kWarpThreads}, stream, list, 7);
    EXPECT_EQ(device.last_error().has_value(), !is_first);
    calls(device.destroy(calls(device.end_capture(stream))));
    EXPECT_EQ(device.take_faults().size(), is_first ? 1u : 0u);
  }
  EXPECT_FALSE(calls.have_failed());
}

TEST(EmulatedGraph, IsRefusedWhereADeviceHasNoMemoryForIt) {
  GraphFixture fixture(1);
  fixture.device.refuse_graphs(true);
  fixture.calls(fixture.device.begin_capture(fixture.stream));
  fixture.append(fixture.stream, 1);
  const Result<Graph> refused = fixture.device.end_capture(fixture.stream);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kNoMemory);
  fixture.device.refuse_graphs(false);
  fixture.append(fixture.stream, 2);  // the capture has ended
  EXPECT_EQ(fixture.finish(), std::vector<std::int32_t>{2});
  EXPECT_TRUE(fixture.device.take_faults().empty());
}

TEST(EmulatedGraph, FailsForEverWhenMemoryThatItNamesIsGone) {
  GraphFixture fixture(1);
  fixture.calls(fixture.device.begin_capture(fixture.stream));
  fixture.calls(fixture.device.upload(fixture.stream, fixture.value, fixture.host_value, 4));
  const Graph graph = fixture.calls(fixture.device.end_capture(fixture.stream));
  fixture.calls(fixture.device.free(reinterpret_cast<std::byte*>(fixture.value)));
  fixture.calls(fixture.device.replay(graph, fixture.stream));
  EXPECT_FALSE(fixture.device.synchronise(fixture.stream));
  EXPECT_FALSE(fixture.device.make_event());
  const std::vector<DeviceFault> faults = fixture.device.take_faults();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].kind, DeviceFaultKind::freed_meanwhile);
}

}  // namespace
}  // namespace slora::cuda
