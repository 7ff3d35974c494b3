#include "backend/cuda/cudart/cudart_device.h"

#include <gtest/gtest.h>

#include "backend/cuda/testing/device_checks.h"

namespace slora::cuda {
namespace {

TEST(CudartDevice, DoesWhatADeviceMustOrTellsWhyThereIsNone) {
  Result<std::unique_ptr<DeviceApi>> device = open_cudart_device(0);
  if (device) {
    EXPECT_EQ(check_device(**device, std::size_t{16} << 20), "");
    return;
  }
  EXPECT_EQ(device.error().code, "E_DEVICE");
  const std::string& message = device.error().message;
  const auto says = [&](std::string_view words) { return message.find(words) != std::string::npos; };
  EXPECT_TRUE(message.starts_with("cudaGetDeviceCount: cudaError") || says("compute capability")) << message;
  if (says("cudaErrorNoDevice")) EXPECT_TRUE(says("this machine has no NVIDIA GPU")) << message;
  if (says("cudaErrorInsufficientDriver")) EXPECT_TRUE(says("this machine has no NVIDIA driver, or one that is older")) << message;
}

TEST(CudartDevice, RefusesADeviceThatIsNotThere) {
  for (const std::int32_t index : {-1, 4096}) {
    const Result<std::unique_ptr<DeviceApi>> device = open_cudart_device(index);
    ASSERT_FALSE(device);
    EXPECT_EQ(device.error().code, "E_DEVICE");
  }
}

}  // namespace
}  // namespace slora::cuda
