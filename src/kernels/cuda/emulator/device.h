#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cuda/emulator/device_memory.h"
#include "kernels/cuda/emulator/fault.h"
#include "kernels/cuda/emulator/grid_run.h"
#include "kernels/cuda/emulator/launch_target.h"
#include "kernels/cuda/emulator/watch.h"

namespace slora::emulator {

struct DeviceOptions {
  std::uint64_t seed = 1;                       // of every order that is drawn
  std::int32_t resident_blocks_max = 8;         // blocks that run at the same time
  std::size_t shared_bytes_max = 96 << 10;      // of a block: what all supported devices have
  std::size_t allocation_gap_bytes = 64 << 10;  // between the addresses of allocations
};

// A device on the CPU: memory, and launches that are complete when they return. Collects what kernels do wrong. Used by one thread.
class Device final : public LaunchTarget {
 public:
  explicit Device(const DeviceOptions& options);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  [[nodiscard]] DeviceMemory& memory() { return memory_; }
  // Copies between the host's memory and the device's. Requires: the device's bytes are in one live allocation.
  void upload(void* to, const void* from, std::size_t bytes);
  void download(void* to, const void* from, std::size_t bytes) const;

  void launch(const GridShape& shape, const BoundKernel& kernel, const Place& place) override;

  // At most kFaultsKept of each launch are kept.
  static constexpr std::int32_t kFaultsKept = 8;
  [[nodiscard]] const std::vector<Fault>& faults() const { return faults_; }
  [[nodiscard]] std::vector<Fault> take_faults() { return std::exchange(faults_, {}); }
  [[nodiscard]] const WatchCounts& counts() const { return watch_->counts(); }

  // For GridRun.
  [[nodiscard]] const DeviceOptions& options() const { return options_; }
  [[nodiscard]] FiberPool& fibers() { return fibers_; }
  [[nodiscard]] Watch& watch() { return *watch_; }
  [[nodiscard]] std::uint64_t draw_seed() { return random_.next(); }
  void report(Fault fault);

 private:
  DeviceOptions options_;
  Random random_;
  DeviceMemory memory_;
  FiberPool fibers_;
  std::unique_ptr<Watch> watch_;
  std::vector<Fault> faults_;
  std::int32_t launch_faults_ = 0;  // of the running launch
};

}  // namespace slora::emulator
