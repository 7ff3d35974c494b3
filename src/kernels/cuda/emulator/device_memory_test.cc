#include "kernels/cuda/emulator/device_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "kernels/cuda/emulator/device.h"
#include "kernels/cuda/emulator/testing/device_array.h"

namespace slora::emulator {
namespace {

bool has_protection_keys() {
#ifdef __x86_64__
  const int key = pkey_alloc(0, 0);
  if (key != -1) pkey_free(key);
  return key != -1;
#else
  return false;
#endif
}

TEST(DeviceMemoryDeathTest, TheHostCannotAccessADevicesMemory) {
  if (!has_protection_keys()) GTEST_SKIP() << "a processor without protection keys";
  Device device(DeviceOptions{});
  const DeviceArray<int> array(device, {1, 2, 3});
  volatile int* const first = array.data();
  EXPECT_DEATH(*first = *first + 1, "");
  EXPECT_EQ(array.download(), (std::vector<int>{1, 2, 3}));
  const DeviceAccess access;
  EXPECT_EQ(*first, 1);
}

TEST(DeviceMemory, HiddenMemoryCanBeAccessedWhileADeviceMay) {
  DeviceMemory memory(0, DeviceMemory::Hidden::yes);
  std::byte* const bytes = memory.allocate(1000);
  {
    const DeviceAccess outer;
    {
      const DeviceAccess inner;
      bytes[0] = std::byte{7};
    }
    EXPECT_EQ(bytes[0], std::byte{7});
  }
  memory.free(bytes);
}

}  // namespace
}  // namespace slora::emulator
