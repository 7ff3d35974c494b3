#include "kernels/cuda/emulator/watch.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "kernels/cuda/emulator/testing/device_array.h"
#include "kernels/cuda/emulator/testing/faulty_kernels.h"

namespace slora::emulator {
namespace {

constexpr std::int32_t kBlocks = 3;
constexpr std::int32_t kThreads = 64;

std::vector<float> made_input() {
  std::vector<float> values(kThreads);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * i % 17) - 3.0f;
  return values;
}

struct Outcome {
  std::vector<Fault> faults;
  std::vector<float> out, total;
};

Outcome run_with(Fail fail, std::uint64_t seed) {
  Device device({.seed = seed});
  const std::vector<float> host(kThreads, 1.0f);
  const DeviceArray<float> in(device, made_input());
  const auto out = DeviceArray<float>::unwritten(device, static_cast<std::size_t>(kBlocks * kThreads));
  const auto total = DeviceArray<float>::unwritten(device, static_cast<std::size_t>(kThreads));
  const DeviceArray<std::uint32_t> counter(device, {0});
  const float* not_ours = host.data();
  if (fail == Fail::freed) not_ours = DeviceArray<float>(device, made_input()).data();
  run_faulty_kernel(device, kBlocks, {fail, out.data(), total.data(), in.data(), not_ours, counter.data()});
  Outcome outcome{device.take_faults(), out.download(), total.download()};
  if (outcome.faults.empty()) {
    EXPECT_EQ(counter.download()[0], static_cast<std::uint32_t>(kBlocks));
  }
  return outcome;
}

struct Seeded {
  const char* name;
  Fail fail;
  FaultKind kind;
};

class SeededFault : public ::testing::TestWithParam<Seeded> {};

TEST_P(SeededFault, IsReportedWithEverySeed) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Outcome outcome = run_with(GetParam().fail, seed);
    ASSERT_FALSE(outcome.faults.empty()) << "seed " << seed;
    for (const Fault& fault : outcome.faults) EXPECT_EQ(fault.kind, GetParam().kind) << "seed " << seed << ": " << to_text(fault);
  }
}

INSTANTIATE_TEST_SUITE_P(Watch, SeededFault,
                         ::testing::Values(Seeded{"two_writers", Fail::two_writers, FaultKind::write_write_race},
                                           Seeded{"wait_for_copies", Fail::wait_for_copies, FaultKind::copy_in_flight},
                                           Seeded{"wait_leaves_one", Fail::wait_leaves_one, FaultKind::copy_in_flight},
                                           Seeded{"forgotten_copies", Fail::forgotten_copies, FaultKind::unwaited_copy},
                                           Seeded{"never_written", Fail::never_written, FaultKind::uninitialised_read},
                                           Seeded{"never_written_global", Fail::never_written_global, FaultKind::uninitialised_read},
                                           Seeded{"shared_bounds", Fail::shared_bounds, FaultKind::out_of_bounds},
                                           Seeded{"global_bounds", Fail::global_bounds, FaultKind::out_of_bounds},
                                           Seeded{"before_bounds", Fail::before_bounds, FaultKind::out_of_bounds},
                                           Seeded{"freed", Fail::freed, FaultKind::freed_memory},
                                           Seeded{"host_memory", Fail::host_memory, FaultKind::not_device_memory},
                                           Seeded{"blocks_share_a_word", Fail::blocks_share_a_word, FaultKind::race_between_blocks},
                                           Seeded{"fence_before_arrival", Fail::fence_before_arrival, FaultKind::race_between_blocks},
                                           Seeded{"fence_after_arrival", Fail::fence_after_arrival, FaultKind::race_between_blocks}),
                         [](const auto& param) { return std::string(param.param.name); });

// A missing barrier is a race of one kind or the other, by which thread came first; whichever it is, it is reported.
class MissingBarrier : public ::testing::TestWithParam<Fail> {};

TEST_P(MissingBarrier, IsARaceWithEverySeed) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Outcome outcome = run_with(GetParam(), seed);
    ASSERT_FALSE(outcome.faults.empty()) << "seed " << seed;
    for (const Fault& fault : outcome.faults) {
      const bool is_race = fault.kind == FaultKind::write_read_race || fault.kind == FaultKind::read_write_race ||
                           fault.kind == FaultKind::copy_in_flight || fault.kind == FaultKind::uninitialised_read ||
                           fault.kind == FaultKind::race_between_blocks;
      EXPECT_TRUE(is_race) << "seed " << seed << ": " << to_text(fault);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Watch, MissingBarrier,
                         ::testing::Values(Fail::barrier_after_write, Fail::barrier_before_reuse, Fail::warp_barrier,
                                           Fail::copy_to_what_is_read, Fail::reads_other_blocks_word));

TEST(Watch, ReportsNothingOfARightKernelInAnyOrder) {
  std::set<std::vector<float>> results;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const Outcome outcome = run_with(Fail::nothing, seed);
    ASSERT_TRUE(outcome.faults.empty()) << "seed " << seed << ": " << to_text(outcome.faults.front());
    results.insert(outcome.out);
    for (std::size_t t = 0; t < kThreads; ++t) {
      EXPECT_EQ(outcome.total[t], outcome.out[t] + outcome.out[kThreads + t] + outcome.out[2 * kThreads + t]) << "seed " << seed;
    }
  }
  ASSERT_EQ(results.size(), 1u);
  const std::vector<float> in = made_input();
  for (std::size_t i = 0; i < results.begin()->size(); ++i) {
    EXPECT_EQ((*results.begin())[i], in[i % kThreads] + in[kThreads - 1 - i % kThreads]) << i;
  }
}

TEST(Watch, NamesBothThreadsAndTheirPlaces) {
  const Outcome outcome = run_with(Fail::two_writers, 1);
  ASSERT_FALSE(outcome.faults.empty());
  const Fault& fault = outcome.faults.front();
  EXPECT_EQ(fault.first.block, fault.second.block);
  EXPECT_NE(fault.first.thread, fault.second.thread);
  EXPECT_EQ(fault.first.thread / 2, fault.second.thread / 2);
  const std::string text = to_text(fault);
  EXPECT_NE(text.find("write-write race"), std::string::npos) << text;
  EXPECT_NE(text.find("of shared memory"), std::string::npos) << text;
  EXPECT_NE(text.find("faulty_kernels.cc:"), std::string::npos) << text;
}

TEST(Watch, CountsRepetitionsForSharedBanks) {
  const std::map<std::int32_t, std::uint64_t> expected{{1, 0}, {2, 1}, {4, 3}, {32, 31}, {33, 0}};
  for (const auto& [stride, conflicts] : expected) {
    Device device({.seed = 1});
    run_strided_kernel(device, stride);
    EXPECT_EQ(device.counts().shared_bank_conflicts, conflicts) << "stride " << stride;
    EXPECT_TRUE(device.faults().empty()) << to_text(device.faults().front());
  }
}

}  // namespace
}  // namespace slora::emulator
