#include "kernels/cuda/emulator/device.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "base/check.h"

namespace slora::emulator {

Device::Device(const DeviceOptions& options)
    : options_(options),
      random_(options.seed),
      memory_(options.allocation_gap_bytes, DeviceMemory::Hidden::yes),
      watch_(std::make_unique<Watch>(memory_)) {}
Device::~Device() = default;

void Device::upload(void* to, const void* from, std::size_t bytes) {
  check(memory_.holds(to, bytes), "expected to upload into one live allocation");
  const DeviceAccess access;
  std::memcpy(to, from, bytes);
  watch_->host_wrote(to, bytes);
}
void Device::download(void* to, const void* from, std::size_t bytes) const {
  check(memory_.holds(from, bytes), "expected to download from one live allocation");
  const DeviceAccess access;
  std::memcpy(to, from, bytes);
}

void Device::launch(const GridShape& shape, const BoundKernel& kernel, const Place& place) {
  const DeviceAccess access;
  launch_faults_ = 0;
  GridRun(*this, shape, kernel, place).run();
  if (const DeviceMemory::Allocation* const allocation = memory_.find_overwritten()) {
    report({FaultKind::overwritten_guard, place, {}, {}, fmt::format("next to an allocation of {} bytes", allocation->bytes)});
  }
}

void Device::report(Fault fault) {
  if (launch_faults_++ < kFaultsKept) faults_.push_back(std::move(fault));
}

}  // namespace slora::emulator
