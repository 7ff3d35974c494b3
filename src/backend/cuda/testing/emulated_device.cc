#include "backend/cuda/testing/emulated_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/cuda/testing/emulated_stream.h"
#include "base/check.h"

namespace slora::cuda {
namespace {

constexpr std::size_t kGapBytes = 64 << 10;

}  // namespace

std::string_view name_of(DeviceFaultKind kind) {
  switch (kind) {
    case DeviceFaultKind::pageable_memory:
      return "pageable memory";
    case DeviceFaultKind::not_device_memory:
      return "not device memory";
    case DeviceFaultKind::freed_meanwhile:
      return "memory freed meanwhile";
    case DeviceFaultKind::busy_memory:
      return "busy memory";
    case DeviceFaultKind::dead_handle:
      return "dead handle";
    case DeviceFaultKind::capture:
      return "capture";
    case DeviceFaultKind::host_overwritten:
      return "overwritten host memory";
    case DeviceFaultKind::kernel:
      return "kernel";
  }
  return "?";
}

EmulatedDevice::EmulatedDevice(const Options& options)
    : options_(options),
      device_({.seed = options.seed}),
      host_memory_(kGapBytes),
      queues_(options.seed, [this](const Piece& piece) { run(piece); }) {}
EmulatedDevice::~EmulatedDevice() = default;

tl::unexpected<Error> EmulatedDevice::fault(DeviceFaultKind kind, const char* call, std::string_view what) {
  faults_.push_back({kind, fmt::format("{}: {}", call, what)});
  return error("E_DEVICE", "{}: {}: {}", call, name_of(kind), what);
}

// Every call begins with it.
Status EmulatedDevice::enter(const char* call, Calls kind) {
  if (call_count_++ == failing_call_) return error("E_DEVICE", "{}: failed as a test asked for", call);
  if (in_step_ == std::this_thread::get_id() && kind == Calls::waits) ++waiting_calls_[call];
  if (failure_) return tl::unexpected<Error>(*failure_);
  if (kind == Calls::waits && capturing_ == std::this_thread::get_id()) {
    return fault(DeviceFaultKind::capture, call, "not while the thread captures a stream");
  }
  if (kind == Calls::enqueues && options_.pace == Pace::anywhere) work_a_little();
  return {};
}

void EmulatedDevice::work_a_little() {
  if (hangs_) return;
  for (std::uint32_t left = queues_.random().below(4); left > 0 && queues_.run_piece();) --left;
}

// After a call has waited: what was found in the meantime.
Status EmulatedDevice::end_wait() {
  if (failure_) return tl::unexpected<Error>(*failure_);
  if (const auto* const block = host_memory_.find_overwritten()) {
    return fault(DeviceFaultKind::host_overwritten, "wait", fmt::format("next to page-locked memory of {} bytes", block->bytes));
  }
  return {};
}

bool EmulatedDevice::is_there(const MemoryUse& use) {
  return (use.side == MemoryUse::Side::host ? host_memory_ : device_.memory()).holds(use.address, use.bytes);
}

Status EmulatedDevice::require(const char* call, const std::vector<MemoryUse>& uses) {
  for (const MemoryUse& use : uses) {
    if (is_there(use)) continue;
    if (use.side == MemoryUse::Side::host) {
      return fault(DeviceFaultKind::pageable_memory, call, fmt::format("expected {} bytes in page-locked memory", use.bytes));
    }
    return fault(DeviceFaultKind::not_device_memory, call, fmt::format("expected {} bytes in one allocation of the device", use.bytes));
  }
  return {};
}

void EmulatedDevice::run(const Piece& piece) {
  if (failure_) return;
  for (const MemoryUse& use : piece.uses) {
    if (is_there(use)) continue;
    failure_ = fault(DeviceFaultKind::freed_meanwhile, piece.call, fmt::format("{} bytes that it uses", use.bytes)).value();
    return;
  }
  const emulator::DeviceAccess access;
  piece.run();
  for (const emulator::Fault& found : device_.take_faults()) {
    failure_ = fault(DeviceFaultKind::kernel, piece.call, emulator::to_text(found)).value();
  }
}

Result<DeviceProperties> EmulatedDevice::properties() {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("properties", Calls::asks); !entered) return forward_error(entered);
  return DeviceProperties{
      .name = "emulated", .multiprocessors = 4, .major = 9, .minor = 0, .shared_bytes_max = device_.options().shared_bytes_max};
}
Result<DeviceMemoryBytes> EmulatedDevice::memory() {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("memory", Calls::waits); !entered) return forward_error(entered);
  return DeviceMemoryBytes{.free = options_.memory_bytes - allocated_bytes_, .total = options_.memory_bytes};
}

Result<std::byte*> EmulatedDevice::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("allocate", Calls::waits); !entered) return forward_error(entered);
  const std::size_t free = options_.memory_bytes - allocated_bytes_;
  if (bytes == 0 || bytes > free) return error("E_DEVICE", "allocate: expected 1 to {} bytes, found {}", free, bytes);
  allocated_bytes_ += bytes;
  ++live_count_;
  return device_.memory().allocate(bytes);
}
Result<std::byte*> EmulatedDevice::allocate_host(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("allocate_host", Calls::waits); !entered) return forward_error(entered);
  if (bytes == 0) return error("E_DEVICE", "allocate_host: expected at least one byte");
  ++live_count_;
  return host_memory_.allocate(bytes);
}

// The bytes of the live allocation that begins there.
Result<std::size_t> EmulatedDevice::begin_free(const char* call, const emulator::DeviceMemory& side, const std::byte* memory) {
  const emulator::DeviceMemory::Allocation* const allocation = side.find(memory);
  if (allocation == nullptr || !allocation->is_live || allocation->begin != memory) {
    return fault(DeviceFaultKind::not_device_memory, call, "expected the address of an allocation");
  }
  const std::size_t bytes = allocation->bytes;
  if (queues_.are_used(memory, bytes)) return fault(DeviceFaultKind::busy_memory, call, fmt::format("{} bytes", bytes));
  check(!hangs_, "expected no call that waits for a device that hangs");
  queues_.drain();
  if (Status ended = end_wait(); !ended) return forward_error(ended);
  --live_count_;
  return bytes;
}
Status EmulatedDevice::free(std::byte* memory) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("free", Calls::waits); !entered) return entered;
  Result<std::size_t> bytes = begin_free("free", device_.memory(), memory);
  if (!bytes) return forward_error(bytes);
  device_.memory().free(memory);
  allocated_bytes_ -= *bytes;
  return {};
}
Status EmulatedDevice::free_host(std::byte* memory) {
  const std::lock_guard lock(mutex_);
  if (Status entered = enter("free_host", Calls::waits); !entered) return entered;
  if (Result<std::size_t> bytes = begin_free("free_host", host_memory_, memory); !bytes) return forward_error(bytes);
  host_memory_.free(memory);
  return {};
}

std::vector<DeviceFault> EmulatedDevice::take_faults() {
  const std::lock_guard lock(mutex_);
  return std::exchange(faults_, {});
}
void EmulatedDevice::read(void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  device_.download(to, from, bytes);
}
void EmulatedDevice::begin_step() {
  const std::lock_guard lock(mutex_);
  in_step_ = std::this_thread::get_id();
}
void EmulatedDevice::end_step() {
  const std::lock_guard lock(mutex_);
  in_step_.reset();
}
std::map<std::string, std::int64_t> EmulatedDevice::waiting_calls_in_steps() {
  const std::lock_guard lock(mutex_);
  return waiting_calls_;
}
void EmulatedDevice::hang() {
  const std::lock_guard lock(mutex_);
  hangs_ = true;
}
void EmulatedDevice::resume() {
  const std::lock_guard lock(mutex_);
  hangs_ = false;
}
void EmulatedDevice::fail_call(std::int64_t number) {
  const std::lock_guard lock(mutex_);
  failing_call_ = call_count_ + number;
}
void EmulatedDevice::refuse_graphs(bool refuses) {
  const std::lock_guard lock(mutex_);
  refuses_graphs_ = refuses;
}
std::int64_t EmulatedDevice::call_count() {
  const std::lock_guard lock(mutex_);
  return call_count_;
}
std::int64_t EmulatedDevice::live_count() {
  const std::lock_guard lock(mutex_);
  return live_count_;
}

}  // namespace slora::cuda
