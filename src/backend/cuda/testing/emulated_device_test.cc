#include "backend/cuda/testing/emulated_device.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "backend/cuda/testing/device_calls.h"
#include "backend/cuda/testing/device_checks.h"
#include "backend/cuda/testing/step_protocol.h"
#include "kernels/cuda/device.h"

namespace slora::cuda {
namespace {

using std::chrono::milliseconds;
using Pace = EmulatedDevice::Pace;

constexpr std::uint64_t kSeeds = 40;
constexpr std::int32_t kSteps = 12;

std::string to_text(const std::vector<DeviceFault>& faults) {
  std::string text;
  for (const DeviceFault& fault : faults) text += std::string(name_of(fault.kind)) + ": " + fault.what + "\n";
  return text;
}

__global__ void write_byte(std::uint8_t* out, std::uint8_t value) {
  if (thread_index() == 0) *out = value;
}
__global__ void append_byte(std::uint8_t* list, std::uint8_t value) {  // list[0] bytes follow
  if (thread_index() == 0) list[++list[0]] = value;
}

// A device, a stream of it, and memory of both sides.
struct Fixture {
  static constexpr std::size_t kBytes = 16;

  explicit Fixture(std::uint64_t seed = 1, Pace pace = Pace::late) : device({.seed = seed, .pace = pace}) {
    stream = calls(device.make_stream(StreamPriority::normal));
    other_stream = calls(device.make_stream(StreamPriority::normal));
    event = calls(device.make_event());
    other_event = calls(device.make_event());
    at_device = calls(device.allocate(kBytes));
    at_host = calls(device.allocate_host(kBytes));
  }
  ~Fixture() {
    EXPECT_FALSE(calls.have_failed()) << calls.error()->message;
    EXPECT_EQ(to_text(device.take_faults()), "");
  }
  // Expects one fault, and that a call returned it.
  template <class T>
  void expect_fault(DeviceFaultKind kind, const Result<T>& result) {
    EXPECT_FALSE(result);
    const std::vector<DeviceFault> faults = device.take_faults();
    ASSERT_EQ(faults.size(), 1u) << to_text(faults);
    EXPECT_EQ(faults[0].kind, kind) << to_text(faults);
    if (!result) {
      EXPECT_EQ(result.error().message.substr(0, 4), faults[0].what.substr(0, 4)) << "the same call";
    }
  }
  [[nodiscard]] std::uint8_t* device_bytes() const { return reinterpret_cast<std::uint8_t*>(at_device); }
  // The device's bytes, after all work of the stream.
  std::vector<std::uint8_t> bytes_after(Stream of) {
    calls(device.synchronise(of));
    std::vector<std::uint8_t> bytes(kBytes);
    device.read(bytes.data(), at_device, kBytes);
    return bytes;
  }

  EmulatedDevice device;
  DeviceCalls calls;
  Stream stream, other_stream;
  Event event, other_event;
  std::byte *at_device, *at_host;
};

TEST(EmulatedDevice, StartsNothingBeforeSomebodyWaits) {
  Fixture fixture;
  fixture.at_host[0] = std::byte{1};
  fixture.calls(fixture.device.upload(fixture.stream, fixture.at_device, fixture.at_host, 1));
  fixture.at_host[0] = std::byte{2};
  EXPECT_EQ(fixture.bytes_after(fixture.stream)[0], 2) << "a copy reads its source when it runs";
}

TEST(EmulatedDevice, AtAnyPaceACopyMayReadItsSourceAtOnceOrLate) {
  std::int32_t early = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Fixture fixture(seed, Pace::anywhere);
    fixture.at_host[0] = std::byte{1};
    fixture.calls(fixture.device.upload(fixture.stream, fixture.at_device, fixture.at_host, 1));
    fixture.calls(fixture.device.record(fixture.event, fixture.stream));
    fixture.at_host[0] = std::byte{2};
    early += fixture.bytes_after(fixture.stream)[0] == 1 ? 1 : 0;
  }
  EXPECT_GT(early, 0);
  EXPECT_LT(early, static_cast<std::int32_t>(kSeeds));
}

TEST(EmulatedDevice, KeepsTheOrderOfAStream) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Fixture fixture(seed, seed % 2 == 0 ? Pace::late : Pace::anywhere);
    fixture.calls(fixture.device.fill_bytes(fixture.stream, fixture.at_device, 0, Fixture::kBytes));
    for (std::uint8_t i = 1; i <= 8; ++i) launch(append_byte, {1, kWarpThreads}, fixture.stream, fixture.device_bytes(), i);
    const std::vector<std::uint8_t> bytes = fixture.bytes_after(fixture.stream);
    for (std::uint8_t i = 0; i <= 8; ++i) EXPECT_EQ(bytes[i], i == 0 ? 8 : i) << "seed " << seed;
  }
}

TEST(EmulatedDevice, OrdersStreamsByEventsOnly) {
  for (const bool waits : {false, true}) {
    std::int32_t other_last = 0;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      Fixture fixture(seed);
      launch(write_byte, {1, kWarpThreads}, fixture.stream, fixture.device_bytes(), std::uint8_t{1});
      fixture.calls(fixture.device.record(fixture.event, fixture.stream));
      if (waits) fixture.calls(fixture.device.wait(fixture.other_stream, fixture.event));
      launch(write_byte, {1, kWarpThreads}, fixture.other_stream, fixture.device_bytes(), std::uint8_t{2});
      fixture.calls(fixture.device.synchronise(fixture.stream));
      other_last += fixture.bytes_after(fixture.other_stream)[0] == 2 ? 1 : 0;
    }
    if (waits) {
      EXPECT_EQ(other_last, static_cast<std::int32_t>(kSeeds));
    } else {
      EXPECT_GT(other_last, 4);
      EXPECT_LT(other_last, static_cast<std::int32_t>(kSeeds) - 4);
    }
  }
}

TEST(EmulatedDevice, AnEventIsWhatWasRecordedWhenItWasWaitedFor) {
  Fixture fixture;
  EXPECT_TRUE(fixture.calls(fixture.device.is_done(fixture.event))) << "nothing was recorded";
  fixture.calls(fixture.device.record(fixture.event, fixture.stream));
  fixture.calls(fixture.device.wait(fixture.other_stream, fixture.event));
  // Recorded again behind work that waits for the other stream: were that what the other stream waits for, both would wait for ever.
  fixture.calls(fixture.device.record(fixture.other_event, fixture.other_stream));
  fixture.calls(fixture.device.wait(fixture.stream, fixture.other_event));
  fixture.calls(fixture.device.record(fixture.event, fixture.stream));
  fixture.calls(fixture.device.synchronise(fixture.other_stream));
  while (!fixture.calls(fixture.device.is_done(fixture.event))) continue;
}

TEST(EmulatedDevice, WaitsNoLongerThanTheLimit) {
  Fixture fixture;
  fixture.device.hang();
  fixture.calls(fixture.device.fill_bytes(fixture.stream, fixture.at_device, 7, Fixture::kBytes));
  fixture.calls(fixture.device.record(fixture.event, fixture.stream));
  EXPECT_FALSE(fixture.calls(fixture.device.synchronise(fixture.event, milliseconds(1000))));
  EXPECT_FALSE(fixture.calls(fixture.device.is_done(fixture.event)));
  fixture.device.resume();
  EXPECT_TRUE(fixture.calls(fixture.device.synchronise(fixture.event, milliseconds(1000))));
  EXPECT_EQ(fixture.bytes_after(fixture.stream)[0], 7);
  std::int32_t not_yet = 0;
  for (std::int32_t i = 0; i < 64; ++i) {
    for (std::int32_t fills = 0; fills < 4; ++fills)
      fixture.calls(fixture.device.fill_bytes(fixture.stream, fixture.at_device, 7, Fixture::kBytes));
    fixture.calls(fixture.device.record(fixture.event, fixture.stream));
    not_yet += fixture.calls(fixture.device.synchronise(fixture.event, milliseconds(2))) ? 0 : 1;
  }
  EXPECT_GT(not_yet, 8);
}

TEST(EmulatedDevice, CopiesPiecesInAnyOrder) {
  std::int32_t swapped = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Fixture fixture(seed);
    for (std::size_t i = 0; i < 2; ++i) fixture.at_host[i] = static_cast<std::byte>(i + 1);
    // Two pieces with one target, which a caller must not do, show the order.
    const PieceCopy pieces[] = {{fixture.at_device, fixture.at_host, 1}, {fixture.at_device, fixture.at_host + 1, 1}};
    fixture.calls(fixture.device.upload_pieces(fixture.stream, pieces));
    swapped += fixture.bytes_after(fixture.stream)[0] == 1 ? 1 : 0;
  }
  EXPECT_GT(swapped, 4);
  EXPECT_LT(swapped, static_cast<std::int32_t>(kSeeds) - 4);
}

TEST(EmulatedDevice, DoesWhatADeviceMust) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    EmulatedDevice device({.seed = seed, .pace = seed % 2 == 0 ? Pace::late : Pace::anywhere});
    EXPECT_EQ(check_device(device, 100), "") << "seed " << seed;
    EXPECT_EQ(to_text(device.take_faults()), "");
    EXPECT_EQ(device.live_count(), 0);
  }
}

TEST(EmulatedDevice, RunsStepsRightlyInEveryOrder) {
  for (const Pace pace : {Pace::late, Pace::anywhere}) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      EmulatedDevice device({.seed = seed, .pace = pace});
      {
        StepProtocol protocol(device, StepMistake::none);
        EXPECT_EQ(protocol.run(kSteps), 0) << "seed " << seed;
        EXPECT_FALSE(protocol.calls().have_failed()) << protocol.calls().error()->message;
      }
      EXPECT_EQ(to_text(device.take_faults()), "") << "seed " << seed;
      EXPECT_EQ(device.live_count(), 0);
    }
  }
}

// Each seed has 12 steps: a mistake is expected to show in all seeds but few.
TEST(EmulatedDevice, ShowsMistakesInHowStepsAreDriven) {
  for (const StepMistake mistake : {StepMistake::compute_before_upload, StepMistake::download_before_results,
                                    StepMistake::numbers_reused_early, StepMistake::results_read_early, StepMistake::shared_results}) {
    std::int32_t seen = 0;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      EmulatedDevice device({.seed = seed});
      seen += StepProtocol(device, mistake).run(kSteps) > 0 ? 1 : 0;
    }
    EXPECT_GE(seen, static_cast<std::int32_t>(kSeeds) - 4) << "mistake " << static_cast<int>(mistake);
  }
}

TEST(EmulatedDevice, CountsCallsInStepsThatMayWait) {
  EmulatedDevice device({});
  StepProtocol protocol(device, StepMistake::none);
  for (std::int32_t step = 0; step < kSteps; ++step) {
    device.begin_step();
    protocol.submit(step);
    device.end_step();
    EXPECT_EQ(protocol.collect(step), 0);
  }
  EXPECT_TRUE(device.waiting_calls_in_steps().empty());

  device.begin_step();
  DeviceCalls calls;
  std::byte* const memory = calls(device.allocate(1));
  calls(device.free(memory));
  std::byte* const host_memory = calls(device.allocate_host(1));
  calls(device.free_host(host_memory));
  calls(device.memory());
  device.end_step();
  EXPECT_FALSE(calls.have_failed());
  const std::map<std::string, std::int64_t> expected{{"allocate", 1}, {"free", 1}, {"allocate_host", 1}, {"free_host", 1}, {"memory", 1}};
  EXPECT_EQ(device.waiting_calls_in_steps(), expected);
}

TEST(EmulatedDevice, LetsAnyCallFail) {
  std::int64_t failed = 0;
  for (std::int64_t number = 0;; ++number) {
    EmulatedDevice device({});
    device.fail_call(number);
    StepProtocol protocol(device, StepMistake::none);
    protocol.run(3);
    if (!protocol.calls().have_failed()) break;
    EXPECT_NE(protocol.calls().error()->message.find("failed as a test asked for"), std::string::npos) << protocol.calls().error()->message;
    ++failed;
  }
  EXPECT_GT(failed, 30);
}

TEST(EmulatedDevice, IsCalledByManyThreads) {
  EmulatedDevice device({.pace = Pace::anywhere});
  std::atomic<std::int32_t> wrong{0};
  const auto load = [&](std::uint8_t mine) {
    DeviceCalls calls;
    const Stream stream = calls(device.make_stream(StreamPriority::normal));
    const Event event = calls(device.make_event());
    std::byte* const at_device = calls(device.allocate(1));
    std::byte* const at_host = calls(device.allocate_host(2));
    for (std::uint8_t i = 0; i < 100; ++i) {
      at_host[0] = static_cast<std::byte>(mine + i);
      calls(device.upload(stream, at_device, at_host, 1));
      calls(device.download(stream, at_host + 1, at_device, 1));
      calls(device.record(event, stream));
      while (!calls.have_failed() && !calls(device.synchronise(event, milliseconds(1)))) continue;
      if (calls.have_failed() || at_host[1] != at_host[0]) ++wrong;
    }
  };
  {
    const std::jthread first(load, 1), second(load, 7);
    StepProtocol protocol(device, StepMistake::none);
    EXPECT_EQ(protocol.run(50), 0);
    EXPECT_FALSE(protocol.calls().have_failed());
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(to_text(device.take_faults()), "");
}

TEST(EmulatedDevice, SeesMemoryThatIsNotPageLocked) {
  Fixture fixture;
  std::byte pageable[4]{};
  fixture.expect_fault(DeviceFaultKind::pageable_memory, fixture.device.upload(fixture.stream, fixture.at_device, pageable, 4));
  fixture.expect_fault(DeviceFaultKind::pageable_memory, fixture.device.download(fixture.stream, pageable, fixture.at_device, 4));
  const PieceCopy piece{fixture.at_device, pageable, 4};
  fixture.expect_fault(DeviceFaultKind::pageable_memory, fixture.device.upload_pieces(fixture.stream, {&piece, 1}));
  fixture.expect_fault(DeviceFaultKind::pageable_memory,
                       fixture.device.upload(fixture.stream, fixture.at_device, fixture.at_host + 8, Fixture::kBytes));
}

TEST(EmulatedDevice, SeesMemoryThatIsNotTheDevices) {
  Fixture fixture;
  fixture.expect_fault(DeviceFaultKind::not_device_memory,
                       fixture.device.copy_rows(fixture.stream, {fixture.at_device, 4, fixture.at_host, 4, 4, 1}));
  fixture.expect_fault(DeviceFaultKind::not_device_memory,
                       fixture.device.fill_bytes(fixture.stream, fixture.at_device + 1, 0, Fixture::kBytes));
  fixture.expect_fault(DeviceFaultKind::not_device_memory, fixture.device.free(fixture.at_device + 1));
  fixture.expect_fault(DeviceFaultKind::not_device_memory, fixture.device.free(fixture.at_host));
  fixture.calls(fixture.device.free(fixture.at_device));
  fixture.expect_fault(DeviceFaultKind::not_device_memory, fixture.device.upload(fixture.stream, fixture.at_device, fixture.at_host, 4));
}

TEST(EmulatedDevice, SeesThatMemoryIsFreedWhichWorkWillUse) {
  Fixture fixture;
  fixture.calls(fixture.device.upload(fixture.stream, fixture.at_device + 4, fixture.at_host + 4, 4));
  fixture.expect_fault(DeviceFaultKind::busy_memory, fixture.device.free(fixture.at_device));
  fixture.expect_fault(DeviceFaultKind::busy_memory, fixture.device.free_host(fixture.at_host));
  fixture.calls(fixture.device.synchronise(fixture.stream));
  fixture.calls(fixture.device.free(fixture.at_device));
  fixture.calls(fixture.device.free_host(fixture.at_host));
}

TEST(EmulatedDevice, SeesWritesBesidePageLockedMemory) {
  Fixture fixture;
  fixture.at_host[Fixture::kBytes] = std::byte{1};
  fixture.expect_fault(DeviceFaultKind::host_overwritten, fixture.device.synchronise(fixture.stream));
}

TEST(EmulatedDevice, SeesHandlesThatWereDestroyed) {
  Fixture fixture;
  fixture.calls(fixture.device.destroy(fixture.event));
  fixture.expect_fault(DeviceFaultKind::dead_handle, fixture.device.wait(fixture.stream, fixture.event));
  fixture.calls(fixture.device.destroy(fixture.other_stream));
  fixture.expect_fault(DeviceFaultKind::dead_handle, fixture.device.synchronise(fixture.other_stream));
  launch(write_byte, {1, kWarpThreads}, fixture.other_stream, fixture.device_bytes(), std::uint8_t{1});
  fixture.expect_fault(DeviceFaultKind::dead_handle, fixture.device.last_error());
  fixture.calls(fixture.device.last_error());  // told once
}

TEST(EmulatedDevice, FailsForEverAfterAFaultOfAKernel) {
  EmulatedDevice device({});
  DeviceCalls calls;
  const Stream stream = calls(device.make_stream(StreamPriority::normal));
  std::byte* const memory = calls(device.allocate(1));
  launch(write_byte, {1, 7}, stream, reinterpret_cast<std::uint8_t*>(memory), std::uint8_t{1});
  calls(device.last_error());
  EXPECT_FALSE(calls.have_failed()) << "the kernel has not run yet";
  EXPECT_FALSE(device.synchronise(stream));
  EXPECT_FALSE(device.fill_bytes(stream, memory, 0, 1));
  EXPECT_FALSE(device.last_error());
  EXPECT_FALSE(device.allocate(1));
  const std::vector<DeviceFault> faults = device.take_faults();
  ASSERT_EQ(faults.size(), 1u) << to_text(faults);
  EXPECT_EQ(faults[0].kind, DeviceFaultKind::kernel);
}

TEST(EmulatedDevice, RefusesMoreMemoryThanThereIs) {
  EmulatedDevice device({.memory_bytes = 1000});
  std::byte* const memory = device.allocate(600).value();
  EXPECT_EQ(device.memory()->free, 400u);
  const Result<std::byte*> refused = device.allocate(401);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "allocate: expected 1 to 400 bytes, found 401");
  EXPECT_TRUE(device.free(memory));
  EXPECT_TRUE(device.allocate(1000));
  EXPECT_TRUE(device.take_faults().empty()) << "that memory does not suffice is no fault of the caller";
}

}  // namespace
}  // namespace slora::cuda
