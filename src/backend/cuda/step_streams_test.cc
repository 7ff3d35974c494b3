#include "backend/cuda/step_streams.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backend/cuda/testing/emulated_device.h"
#include "backend/device_error.h"
#include "kernels/cuda/device.h"

namespace slora::cuda {
namespace {

constexpr std::uint64_t kStreamSeeds = 24;
constexpr std::int32_t kRows = 24;
constexpr std::chrono::milliseconds kWaitStep{3};

std::string text_of(const std::vector<DeviceFault>& faults) {
  std::string text;
  for (const DeviceFault& fault : faults) text += std::string(name_of(fault.kind)) + ": " + fault.what + "\n";
  return text;
}

// out[i] = in[i] + before[i], a step that needs the one before.
__global__ void add_rows(std::int32_t* out, const std::int32_t* in, const std::int32_t* before, std::int32_t count) {
  for (std::int32_t i = thread_index(); i < count; i += thread_count()) out[i] = in[i] + before[i];
}
// A second op of the step, so that others can come in between.
__global__ void add_one(std::int32_t* out, std::int32_t count) {
  for (std::int32_t i = thread_index(); i < count; i += thread_count()) out[i] += 1;
}

// Steps two deep: each adds its numbers, and one, to the results of the step before.
class Steps {
 public:
  Steps(EmulatedDevice& device, StepStreams& streams, std::size_t extra_bytes = 0) : streams_(streams) {
    for (Slot& slot : slots_) {
      slot.bytes = allocate_host_buffer(device, kRows * 4 + extra_bytes).value();
      slot.host_results = allocate_host_buffer(device, kRows * 4).value();
      slot.results = allocate_buffer(device, kRows * 4).value();
    }
    const Result<Stream> stream = device.make_stream(StreamPriority::normal);
    for (const Slot& slot : slots_) EXPECT_TRUE(device.fill_bytes(*stream, slot.results.data(), 0, kRows * 4));
    EXPECT_TRUE(device.synchronise(*stream));
    EXPECT_TRUE(device.destroy(*stream));
  }

  void submit(std::int32_t step, bool replays) {
    Slot& slot = slots_[static_cast<std::size_t>(step % 2)];
    auto* const numbers = reinterpret_cast<std::int32_t*>(slot.bytes.data());
    for (std::int32_t i = 0; i < kRows; ++i) numbers[i] = number_of(step, i);
    const std::byte* const at_device = streams_.upload_step(step % 2, {slot.bytes.data(), slot.bytes.bytes()});
    const auto call_ops = [&] { launch_ops(step, at_device); };
    if (replays) {
      streams_.replay_step({.slot = step % 2, .rows = kRows}, call_ops);
    } else {
      call_ops();
    }
    slot.fence = streams_.download_step({slot.host_results.data(), slot.host_results.bytes()}, slot.results.data());
  }
  // Returns how many results are wrong.
  std::int32_t collect(std::int32_t step) {
    const Slot& slot = slots_[static_cast<std::size_t>(step % 2)];
    while (!streams_.wait(slot.fence, kWaitStep)) continue;
    const auto* const results = reinterpret_cast<const std::int32_t*>(slot.host_results.data());
    std::int32_t wrong = 0;
    for (std::int32_t i = 0; i < kRows; ++i) {
      sums_[i] += number_of(step, i) + 1;
      wrong += results[i] != sums_[i] ? 1 : 0;
    }
    return wrong;
  }
  // Returns how many results of all steps are wrong.
  std::int32_t run(std::int32_t begin, std::int32_t end, bool replays) {
    std::int32_t wrong = 0;
    for (std::int32_t step = begin; step < end; ++step) {
      submit(step, replays);
      if (step > begin) wrong += collect(step - 1);
    }
    return wrong + collect(end - 1);
  }
  [[nodiscard]] std::int32_t called_count() const { return called_count_; }

 private:
  struct Slot {
    Buffer bytes, host_results, results;
    Fence fence;
  };
  static std::int32_t number_of(std::int32_t step, std::int32_t row) { return 100 * step + row; }
  void launch_ops(std::int32_t step, const std::byte* numbers) {
    ++called_count_;
    auto* const out = reinterpret_cast<std::int32_t*>(slots_[static_cast<std::size_t>(step % 2)].results.data());
    const auto* const before = reinterpret_cast<const std::int32_t*>(slots_[static_cast<std::size_t>((step + 1) % 2)].results.data());
    launch(add_rows, {1, kWarpThreads}, streams_.compute(), out, reinterpret_cast<const std::int32_t*>(numbers), before, kRows);
    launch(add_one, {1, kWarpThreads}, streams_.compute(), out, kRows);
  }

  StepStreams& streams_;
  std::array<Slot, 2> slots_;
  std::array<std::int32_t, kRows> sums_{};
  std::int32_t called_count_ = 0;
};

TEST(StepStreams, RunsStepsTwoDeepInAnyOrderThatADeviceMayChoose) {
  for (const bool replays : {false, true}) {
    for (std::uint64_t seed = 1; seed <= kStreamSeeds; ++seed) {
      EmulatedDevice device({.seed = seed, .pace = seed % 2 == 0 ? EmulatedDevice::Pace::late : EmulatedDevice::Pace::anywhere});
      {
        const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 2).value();
        Steps steps(device, *streams);
        EXPECT_EQ(steps.run(0, 40, replays), 0) << "seed " << seed;
        EXPECT_EQ(steps.called_count(), replays ? 4 : 40) << "of each slot the first step, and the one that is captured";
      }
      EXPECT_EQ(text_of(device.take_faults()), "") << "seed " << seed;
      EXPECT_EQ(device.live_count(), 0) << "seed " << seed;
    }
  }
}

TEST(StepStreams, CallsNothingInAStepThatWaitsForTheDevice) {
  EmulatedDevice device({});
  const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 2).value();
  Steps steps(device, *streams);
  for (std::int32_t step = 0; step < 40; ++step) {
    device.begin_step();
    steps.submit(step, step % 3 != 0);
    device.end_step();
    EXPECT_EQ(steps.collect(step), 0);
  }
  EXPECT_TRUE(device.waiting_calls_in_steps().empty()) << device.waiting_calls_in_steps().begin()->first;
}

TEST(StepStreams, TakesStepsThatAreLargerThanAtFirst) {
  EmulatedDevice device({});
  const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 2).value();
  Buffer small = allocate_host_buffer(device, 64).value();
  const std::byte* const at_first = streams->upload_step(0, {small.data(), small.bytes()});
  {
    Steps steps(device, *streams, StepStreams::kStepBytesAtFirst + 5);
    EXPECT_EQ(steps.run(0, 6, false), 0);
    device.begin_step();
    steps.submit(6, false);
    device.end_step();
    EXPECT_EQ(steps.collect(6), 0);
    EXPECT_TRUE(device.waiting_calls_in_steps().empty()) << "memory for such steps is kept";
  }
  EXPECT_EQ(streams->upload_step(0, {small.data(), small.bytes()}), at_first);
  EXPECT_TRUE(streams->wait(streams->mark(), std::chrono::milliseconds(1000)));
  EXPECT_EQ(text_of(device.take_faults()), "");
}

TEST(StepStreams, ReplaysLargeStepsAfterLargerOnes) {
  EmulatedDevice device({});
  {
    const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 2).value();
    Steps steps(device, *streams, StepStreams::kStepBytesAtFirst);
    EXPECT_EQ(steps.run(0, 4, true), 0);
    Buffer larger = allocate_host_buffer(device, 5 * StepStreams::kStepBytesAtFirst).value();
    for (int slot = 0; slot < 2; ++slot) static_cast<void>(streams->upload_step(slot, {larger.data(), larger.bytes()}));
    EXPECT_TRUE(streams->wait(streams->mark(), std::chrono::milliseconds(1000)));
    EXPECT_EQ(steps.run(4, 8, true), 0);
    EXPECT_EQ(steps.called_count(), 4);
  }
  EXPECT_EQ(text_of(device.take_faults()), "");
}

TEST(StepStreams, GoOnAfterOpsThatCouldNotBeCaptured) {
  EmulatedDevice device({});
  {
    const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 2).value();
    Steps steps(device, *streams);
    const auto fail = [&] {
      EXPECT_THROW(streams->replay_step({.slot = 0, .rows = kRows}, [] { throw std::bad_alloc(); }), std::bad_alloc);
    };
    fail();  // called
    EXPECT_EQ(steps.run(0, 2, true), 0);
    fail();  // captured
    EXPECT_EQ(steps.run(2, 8, true), 0);
    EXPECT_EQ(steps.called_count(), 4);
  }
  EXPECT_EQ(text_of(device.take_faults()), "");
  EXPECT_EQ(device.live_count(), 0);
}

TEST(StepStreams, CallTheOpsWhereTheDeviceHasNoMemoryForAGraph) {
  EmulatedDevice device({});
  std::vector<std::string> warnings;
  {
    const auto warn = [&](std::string_view line) { warnings.emplace_back(line); };
    const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 2, warn).value();
    Steps steps(device, *streams);
    device.refuse_graphs(true);
    EXPECT_EQ(steps.run(0, 8, true), 0);
    EXPECT_EQ(steps.called_count(), 2 + 2 + 6) << "the first two steps, two captures, and all steps but the first two";
    device.refuse_graphs(false);
    EXPECT_EQ(steps.run(8, 12, true), 0);
    EXPECT_EQ(steps.called_count(), 14) << "it is not tried again";
  }
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0],
            "steps whose graphs find no memory on the device are computed without, and take longer: end_capture: no memory for the graph, "
            "as a test asked for");
  EXPECT_EQ(text_of(device.take_faults()), "");
  EXPECT_EQ(device.live_count(), 0);
}

TEST(StepStreams, CopiesIntoPagesWhileStepsRun) {
  constexpr std::size_t kPageBytes = 48;
  constexpr std::size_t kPages = 6;
  for (std::uint64_t seed = 1; seed <= kStreamSeeds; ++seed) {
    EmulatedDevice device({.seed = seed});
    {
      const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 2).value();
      Steps steps(device, *streams);
      std::atomic<std::int32_t> wrong{0};
      const auto load = [&](std::uint8_t mine) {
        const Buffer pages = allocate_buffer(device, kPages * kPageBytes).value();
        const Buffer image = allocate_host_buffer(device, kPages * kPageBytes).value();
        for (std::uint8_t round = 0; round < 20; ++round) {
          std::vector<CopyIn> copies;
          for (std::size_t page = 0; page < kPages; ++page) {
            std::byte* const from = image.data() + page * kPageBytes;
            std::fill_n(from, kPageBytes, static_cast<std::byte>(mine + round + page));
            copies.push_back({pages.data() + (kPages - 1 - page) * kPageBytes, from, kPageBytes});
          }
          const Fence fence = streams->copy_in(copies);
          while (!streams->wait(fence, kWaitStep)) continue;
          std::vector<std::byte> landed(kPages * kPageBytes);
          device.read(landed.data(), pages.data(), landed.size());
          for (std::size_t page = 0; page < kPages; ++page) {
            const std::byte* const at = landed.data() + (kPages - 1 - page) * kPageBytes;
            wrong += std::equal(at, at + kPageBytes, image.data() + page * kPageBytes) ? 0 : 1;
          }
        }
      };
      {
        const std::jthread first(load, 1), second(load, 101);
        EXPECT_EQ(steps.run(0, 30, true), 0) << "seed " << seed;
      }
      EXPECT_EQ(wrong, 0) << "seed " << seed;
    }
    EXPECT_EQ(text_of(device.take_faults()), "");
    EXPECT_EQ(device.live_count(), 0);
  }
}

TEST(StepStreams, FencesStayDoneAndAreToldApart) {
  EmulatedDevice device({});
  const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 1).value();
  EXPECT_TRUE(streams->wait({}, std::chrono::milliseconds(0)));
  device.hang();
  const Fence of_steps = streams->mark();
  EXPECT_FALSE(streams->wait(of_steps, std::chrono::milliseconds(50)));
  device.resume();
  const Fence of_copies = streams->copy_in({});
  EXPECT_NE(of_copies.queue, of_steps.queue);
  EXPECT_TRUE(streams->wait(of_steps, std::chrono::milliseconds(1000)));
  std::vector<Fence> fences;
  for (std::int32_t i = 0; i < 40; ++i) fences.push_back(streams->mark());  // more than there are events
  for (const Fence fence : fences) EXPECT_TRUE(streams->wait(fence, std::chrono::milliseconds(1000)));
  EXPECT_TRUE(streams->wait(of_copies, std::chrono::milliseconds(1000)));
  device.hang();
  EXPECT_TRUE(streams->wait(of_steps, std::chrono::milliseconds(0)));
  EXPECT_FALSE(streams->wait(streams->mark(), std::chrono::milliseconds(0)));
  EXPECT_FALSE(streams->wait(streams->copy_in({}), std::chrono::milliseconds(0)));
  device.resume();
}

TEST(StepStreams, AMarkIsBehindAllOps) {
  for (std::uint64_t seed = 1; seed <= kStreamSeeds; ++seed) {
    EmulatedDevice device({.seed = seed});
    const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 2).value();
    const Buffer numbers = allocate_buffer(device, 4).value();
    for (std::int32_t i = 0; i < 4; ++i)
      launch(add_one, {1, kWarpThreads}, streams->compute(), reinterpret_cast<std::int32_t*>(numbers.data()), 1);
    const Fence fence = streams->mark();
    while (!streams->wait(fence, kWaitStep)) continue;
    std::int32_t found = 0;
    device.read(&found, numbers.data(), 4);
    EXPECT_EQ(found, 3) << "from -1, the bytes of new memory; seed " << seed;
  }
}

TEST(StepStreams, EndWhenAllWorkIsDone) {
  EmulatedDevice device({});
  {
    const Buffer page = allocate_buffer(device, 16).value();
    const Buffer image = allocate_host_buffer(device, 16).value();
    const std::unique_ptr<StepStreams> streams = StepStreams::create(device, 2).value();
    const CopyIn copy{page.data(), image.data(), 16};
    static_cast<void>(streams->copy_in({&copy, 1}));
    static_cast<void>(streams->upload_step(0, {image.data(), 16}));
    static_cast<void>(streams->download_step({image.data(), 16}, page.data()));
  }
  EXPECT_EQ(text_of(device.take_faults()), "");
  EXPECT_EQ(device.live_count(), 0);
}

TEST(StepStreams, TellsEveryErrorOfTheDevice) {
  std::int32_t refused = 0, thrown = 0;
  for (std::int64_t number = 0;; ++number) {
    EmulatedDevice device({});
    device.fail_call(number);
    const Result<std::unique_ptr<StepStreams>> streams = StepStreams::create(device, 2);
    if (!streams) {
      EXPECT_NE(streams.error().message.find("failed as a test asked for"), std::string::npos) << streams.error().message;
      ++refused;
      continue;
    }
    const std::int64_t left = number - device.call_count();
    device.fail_call(-1);
    std::optional<Steps> steps;
    steps.emplace(device, **streams);
    device.fail_call(left);
    try {
      steps->run(0, 6, true);
      break;
    } catch (const DeviceError& failure) {
      EXPECT_NE(std::string(failure.what()).find("failed as a test asked for"), std::string::npos) << failure.what();
      ++thrown;
    }
  }
  EXPECT_GT(refused, 30);
  EXPECT_GT(thrown, 20);
}

}  // namespace
}  // namespace slora::cuda
