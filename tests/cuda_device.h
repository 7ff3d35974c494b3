#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "backend/backend.h"

namespace slora::testing {

// What is known of a device besides its answers: nothing of a GPU, more of an emulated one.
class DeviceWatch {
 public:
  virtual ~DeviceWatch() = default;

  // From the upload of a step to its download, by the thread that calls these.
  virtual void begin_step() {}
  virtual void end_step() {}
  // What the device found wrong, a line each.
  [[nodiscard]] virtual std::string take_faults() { return {}; }
  // Calls in steps that wait for the device, by name.
  [[nodiscard]] virtual std::map<std::string, std::int64_t> waiting_calls() { return {}; }
};

// The CUDA backend on the device that a program of these tests is linked for: cuda_device_emulated.cc, or gpu/cuda_device.cc for a GPU.
struct CudaDevice {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<DeviceWatch> watch;  // valid while the backend lives
};
// The seed is of the order in which an emulated device works.
[[nodiscard]] CudaDevice open_cuda_device(std::uint64_t seed = 1);

}  // namespace slora::testing
