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
  EXPECT_TRUE(message.starts_with("cudaGetDeviceCount: cudaError") || message.find("compute capability") != std::string::npos) << message;
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
