#include "engine/pool_size.h"

#include <gmock/gmock.h>

#include "backend/forwarding_backend.h"
#include "engine/testing/engine_fixture.h"

namespace slora::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20, kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t kScratch = 64 * kMiB;

FreeMemory of_device(std::uint64_t bytes) { return {bytes, FreeMemory::Of::device}; }
FreeMemory of_host(std::uint64_t bytes) { return {bytes, FreeMemory::Of::host}; }

// A backend that says of its memory what a device of this size would.
class SizedBackend final : public ForwardingBackend {
 public:
  SizedBackend(std::unique_ptr<Backend> inner, std::uint64_t free_bytes) : ForwardingBackend(std::move(inner)), free_(free_bytes) {}
  std::optional<DeviceMemory> memory() const override { return DeviceMemory{.free = free_, .total = 2 * free_}; }
  std::int32_t step_tokens_default() const override { return 96; }

 private:
  const std::uint64_t free_;
};

Result<std::unique_ptr<Runtime>> serve_on_device(std::uint64_t free_bytes, std::optional<std::uint64_t> pool_bytes = std::nullopt,
                                                 std::optional<std::int32_t> step_tokens = std::nullopt) {
  RuntimeOptions options;
  options.model_folder = kGolden / "mix32";
  options.backend = "cpu";
  options.threads = 1;
  options.pool_memory = PoolMemory::at_start;
  options.pool_bytes = pool_bytes;
  options.step_tokens_max = step_tokens;
  options.wrap_backend = [=](std::unique_ptr<Backend> inner) { return std::make_unique<SizedBackend>(std::move(inner), free_bytes); };
  return Runtime::create(std::move(options), [](auto&&...) {});
}

TEST(PoolSize, OnADeviceIsWhatIsFreeButTheScratchAndAReserve) {
  RuntimeOptions options;
  options.other_bytes = options.pool_use.host_adapter_bytes = 200 * kGiB;  // the host's
  const std::uint64_t pool = choose_pool_bytes(options, kMiB, kScratch, of_device(100 * kGiB)).value();
  EXPECT_LE(pool, (100 * kGiB - kScratch) / 100 * 92);
  EXPECT_GT(pool, (100 * kGiB - kScratch) / 100 * 92 - 2 * kMiB);
  EXPECT_GE(default_pool_bytes_max(of_device(100 * kGiB)), pool);
}

TEST(PoolSize, OnTheHostIsHalfOfWhatIsFreeAndAtMost8GiB) {
  RuntimeOptions options;
  EXPECT_EQ(choose_pool_bytes(options, kMiB, kScratch, of_host(100 * kGiB)).value(), kPoolBytesDefaultMax);
  EXPECT_EQ(default_pool_bytes_max(of_host(100 * kGiB)), kPoolBytesDefaultMax);
  options.other_bytes = kGiB;
  EXPECT_EQ(choose_pool_bytes(options, kMiB, kScratch, of_host(3 * kGiB + kScratch)).value(), kGiB);
}

TEST(PoolSize, IsRefusedWhereItDoesNotFit) {
  RuntimeOptions options;
  EXPECT_EQ(choose_pool_bytes(options, kMiB, 2 * kGiB, of_device(kGiB)).error().code, "E_POOL") << "the scratch takes all";
  options.pool_bytes = kGiB;
  EXPECT_TRUE(choose_pool_bytes(options, kMiB, kScratch, of_device(kGiB + kScratch)));
  EXPECT_EQ(choose_pool_bytes(options, kMiB, kScratch, of_device(kGiB + kScratch - 1)).error().code, "E_POOL");
}

TEST(PoolSize, IsTakenFromTheMemoryOfTheDeviceThatARuntimeComputesOn) {
  const Result<std::unique_ptr<Runtime>> runtime = serve_on_device(300 * kMiB);
  ASSERT_TRUE(runtime) << runtime.error().message;
  const SchedulerOptions& scheduler = (*runtime)->engine().options().scheduler;
  EXPECT_EQ(scheduler.step_tokens_max, 96) << "the backend's choice";
  const std::uint64_t pool = scheduler.page_count * (*runtime)->model().kv_geometry().page_bytes();
  EXPECT_LE(pool, 300 * kMiB / 100 * 92);
  EXPECT_GT(pool, 300 * kMiB / 100 * 80) << "scratch and reserve are no more";
  const Result<std::unique_ptr<Runtime>> larger = serve_on_device(400 * kMiB, std::nullopt, 32);
  ASSERT_TRUE(larger) << larger.error().message;
  EXPECT_EQ((*larger)->model().limits().step_tokens_max, 32) << "the operator's choice";

  const Result<std::unique_ptr<Runtime>> too_large = serve_on_device(300 * kMiB, 301 * kMiB);
  ASSERT_FALSE(too_large);
  EXPECT_THAT(too_large.error().message, HasSubstr("--pool-memory: 0.29 GiB were requested, and 0."));
}

TEST(PoolSize, WeightsMustFitTheDevice) {
  const Result<std::unique_ptr<Runtime>> runtime = serve_on_device(1000);
  ASSERT_FALSE(runtime);
  EXPECT_EQ(runtime.error().code, "E_MEMORY");
  EXPECT_THAT(runtime.error().message, HasSubstr("of the device's memory are free"));
}

}  // namespace
}  // namespace slora::testing
