#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backend/cuda/device_api.h"

// Stands in for the emulator's header of this name where the checks of kernels (kernels/cuda/testing) are compiled for any device: the same
// calls, done through DeviceApi. Memory that nobody wrote is 0xff, and bytes next to an allocation are watched, as on the emulated device.
namespace slora::emulator {
inline namespace on_any_device {  // the emulator may be in the program as well

struct DeviceOptions {
  std::uint64_t seed = 1;  // of no use here
};

struct Fault {
  std::string what;
};
[[nodiscard]] std::string to_text(const Fault& fault);

struct WatchCounts {
  std::uint64_t shared_bank_conflicts = 0;  // which only the emulated device counts
  std::uint64_t matrix_bank_conflicts = 0;
};

// A check asks for more memory than it may have, or than the device has left: with this seed it can't run now.
struct TooLarge {};

// What all checks of the process use, one after another.
struct ProcessDevice {
  cuda::DeviceApi* api = nullptr;
  cuda::Stream stream = nullptr;
  std::byte* staging = nullptr;       // page-locked, kStagingBytes
  std::size_t sparse_bytes_left = 0;  // for allocations that are hardly used, of all that are live
  std::vector<Fault> faults;          // found when memory was freed
  // For compute-sanitizer: allocations have exactly the bytes that were wanted, nobody writes them first, and results are not read.
  bool leaves_memory_alone = false;

  static constexpr std::size_t kStagingBytes = std::size_t{1} << 20;
  // Takes memory of the device, which outlives all checks.
  [[nodiscard]] static Status open(cuda::DeviceApi& api, bool leaves_memory_alone);
  static ProcessDevice& get();
};

class DeviceMemory {
 public:
  DeviceMemory() = default;
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  std::byte* allocate(std::size_t bytes) { return take({bytes, false}, 0xff); }
  std::byte* allocate_sparse(std::size_t bytes);
  void free(void* begin);

 private:
  struct Allocation {
    std::size_t bytes;
    bool is_sparse;
  };
  [[nodiscard]] std::byte* take(const Allocation& allocation, std::uint8_t filling);

  std::map<std::byte*, Allocation> live_;
};

// A device as the checks of kernels use it. An error of a call ends the process, as the device is of no use behind it.
class Device {
 public:
  explicit Device(const DeviceOptions&) {}

  [[nodiscard]] DeviceMemory& memory() { return memory_; }
  void upload(void* to, const void* from, std::size_t bytes);
  void download(void* to, const void* from, std::size_t bytes) const;
  [[nodiscard]] cuda::Stream stream() { return ProcessDevice::get().stream; }
  [[nodiscard]] const std::vector<Fault>& faults() const { return ProcessDevice::get().faults; }
  [[nodiscard]] WatchCounts counts() const { return {}; }

 private:
  DeviceMemory memory_;
};

}  // namespace on_any_device
}  // namespace slora::emulator
