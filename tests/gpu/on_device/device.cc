#include "kernels/cuda/emulator/device.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "program.h"

namespace slora::emulator {
inline namespace on_any_device {
namespace {

constexpr std::size_t kGuardBytes = 256;  // before and behind an allocation, so that addresses stay multiples of 256
constexpr std::uint8_t kGuard = 0xa5;
constexpr std::size_t kSparseBytesMax = std::size_t{20} << 30;  // of one process; several may run at a time

void require(const Status& status) {
  if (status) return;
  testing::print_line({{"failure", status.error().message}});
  std::exit(EXIT_FAILURE);
}
template <class T>
T require(Result<T> result) {
  if (!result) require(Status(tl::unexpected(result.error())));
  return *std::move(result);
}

// Other processes may have taken what was free when this one began.
std::byte* allocate_or_throw(std::size_t bytes) {
  Result<std::byte*> memory = ProcessDevice::get().api->allocate(bytes);
  if (!memory && memory.error().code == cuda::kNoMemory) throw TooLarge{};
  return require(std::move(memory));
}

// Also waits for kernels before, and tells their errors.
void fill(std::byte* memory, std::uint8_t value, std::size_t bytes) {
  ProcessDevice& device = ProcessDevice::get();
  if (bytes == 0) return;
  require(device.api->fill_bytes(device.stream, memory, value, bytes));
  require(device.api->synchronise(device.stream));
}
void read(void* to, const std::byte* from, std::size_t bytes) {
  ProcessDevice& device = ProcessDevice::get();
  require(device.api->last_error());
  for (std::size_t begin = 0; begin < bytes; begin += ProcessDevice::kStagingBytes) {
    const std::size_t part = std::min(ProcessDevice::kStagingBytes, bytes - begin);
    require(device.api->download(device.stream, device.staging, from + begin, part));
    require(device.api->synchronise(device.stream));
    std::memcpy(static_cast<std::byte*>(to) + begin, device.staging, part);
  }
}

}  // namespace

std::string to_text(const Fault& fault) { return fault.what; }

ProcessDevice& ProcessDevice::get() {
  static ProcessDevice device;
  return device;
}

Status ProcessDevice::open(cuda::DeviceApi& api, bool leaves_memory_alone) {
  ProcessDevice& device = get();
  Result<cuda::Stream> stream = api.make_stream(cuda::StreamPriority::normal);
  if (!stream) return forward_error(stream);
  Result<std::byte*> staging = api.allocate_host(kStagingBytes);
  if (!staging) return forward_error(staging);
  Result<cuda::DeviceMemoryBytes> memory = api.memory();
  if (!memory) return forward_error(memory);
  device = {.api = &api,
            .stream = *stream,
            .staging = *staging,
            .sparse_bytes_left = leaves_memory_alone ? 0 : std::min(kSparseBytesMax, memory->free / 6),
            .faults = {},
            .leaves_memory_alone = leaves_memory_alone};
  return {};
}

std::byte* DeviceMemory::take(const Allocation& allocation, std::uint8_t filling) {
  ProcessDevice& device = ProcessDevice::get();
  const std::size_t bytes = allocation.bytes;
  if (device.leaves_memory_alone) {
    std::byte* const exact = allocate_or_throw(std::max<std::size_t>(bytes, 1));
    live_.emplace(exact, allocation);
    return exact;
  }
  std::byte* const whole = allocate_or_throw(bytes + 2 * kGuardBytes);
  std::byte* const begin = whole + kGuardBytes;
  fill(whole, kGuard, kGuardBytes);
  fill(begin + bytes, kGuard, kGuardBytes);
  fill(begin, filling, bytes);
  live_.emplace(begin, allocation);
  return begin;
}

std::byte* DeviceMemory::allocate_sparse(std::size_t bytes) {
  ProcessDevice& device = ProcessDevice::get();
  if (bytes > device.sparse_bytes_left) throw TooLarge{};
  std::byte* const begin = take({bytes, true}, 0);
  device.sparse_bytes_left -= bytes;
  return begin;
}

void DeviceMemory::free(void* begin) {
  ProcessDevice& device = ProcessDevice::get();
  const auto found = live_.find(static_cast<std::byte*>(begin));
  check(found != live_.end(), "expected a live allocation of the device");
  require(device.api->last_error());
  require(device.api->synchronise(device.stream));
  std::byte* whole = found->first;
  if (!device.leaves_memory_alone) {
    for (std::byte* const guard : {found->first - kGuardBytes, found->first + found->second.bytes}) {
      std::array<std::byte, kGuardBytes> bytes;
      read(bytes.data(), guard, bytes.size());
      if (std::ranges::any_of(bytes, [](std::byte value) { return value != std::byte{kGuard}; })) {
        device.faults.push_back({"bytes next to an allocation of " + std::to_string(found->second.bytes) + " bytes have changed"});
      }
    }
    whole -= kGuardBytes;
  }
  if (found->second.is_sparse) device.sparse_bytes_left += found->second.bytes;
  live_.erase(found);
  require(device.api->free(whole));
}

DeviceMemory::~DeviceMemory() {
  while (!live_.empty()) free(live_.begin()->first);
}

void Device::upload(void* to, const void* from, std::size_t bytes) {
  ProcessDevice& device = ProcessDevice::get();
  for (std::size_t begin = 0; begin < bytes; begin += ProcessDevice::kStagingBytes) {
    const std::size_t part = std::min(ProcessDevice::kStagingBytes, bytes - begin);
    std::memcpy(device.staging, static_cast<const std::byte*>(from) + begin, part);
    require(device.api->upload(device.stream, static_cast<std::byte*>(to) + begin, device.staging, part));
    require(device.api->synchronise(device.stream));
  }
}

void Device::download(void* to, const void* from, std::size_t bytes) const {
  if (ProcessDevice::get().leaves_memory_alone) {
    std::memset(to, 0, bytes);
    return;
  }
  read(to, static_cast<const std::byte*>(from), bytes);
}

}  // namespace on_any_device
}  // namespace slora::emulator
