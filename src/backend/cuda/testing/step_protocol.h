#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "backend/cuda/device_api.h"
#include "backend/cuda/testing/device_calls.h"

namespace slora::cuda {

// A mistake in how steps are driven.
enum class StepMistake : std::uint8_t {
  none,
  compute_before_upload,    // the compute stream does not wait for the step's numbers
  download_before_results,  // the stream that copies out does not wait for the kernel
  numbers_reused_early,     // the host writes the numbers of a step whose slot's step before is not done
  results_read_early,       // the host does not wait for the results
  shared_results,           // both slots have one place for results on the device
};

// Steps as an engine drives them, two under way at a time: a step's numbers go up on one stream, a kernel doubles them on another, and the
// results come down on a third. Each of the two slots has its memory and its events.
class StepProtocol {
 public:
  static constexpr std::size_t kNumbers = 64;

  StepProtocol(DeviceApi& device, StepMistake mistake);
  ~StepProtocol();
  StepProtocol(const StepProtocol&) = delete;
  StepProtocol& operator=(const StepProtocol&) = delete;

  // Runs so many steps, and returns how many results are wrong. Stops at the first error.
  std::int64_t run(std::int32_t steps);
  // Its parts. collect() waits for the results and returns how many are wrong.
  void submit(std::int32_t step);
  std::int64_t collect(std::int32_t step);
  [[nodiscard]] DeviceCalls& calls() { return calls_; }

 private:
  static constexpr std::size_t kBytes = kNumbers * sizeof(std::int32_t);

  // Page-locked numbers and results, and where they are on the device.
  struct Slot {
    std::int32_t *numbers = nullptr, *results = nullptr;
    std::int32_t *numbers_at_device = nullptr, *results_at_device = nullptr;
    Event uploaded = nullptr, computed = nullptr, done = nullptr;
  };
  std::int32_t* allocate() { return reinterpret_cast<std::int32_t*>(calls_(device_.allocate(kBytes))); }
  std::int32_t* allocate_host() { return reinterpret_cast<std::int32_t*>(calls_(device_.allocate_host(kBytes))); }

  DeviceApi& device_;
  StepMistake mistake_;
  DeviceCalls calls_;
  Stream in_ = nullptr, compute_ = nullptr, out_ = nullptr;
  std::array<Slot, 2> slots_;
};

}  // namespace slora::cuda
