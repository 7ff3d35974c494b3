#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "backend/cuda/testing/emulated_queues.h"
#include "kernels/cuda/emulator/launch_target.h"

namespace slora::cuda {

// A stream of an emulated device: kernels are launched into it, and it hands them to its device. Used under the device's lock.
class EmulatedStream final : public emulator::LaunchTarget {
 public:
  using Launch = std::function<void(EmulatedStream&, const emulator::GridShape&, const emulator::BoundKernel&, const emulator::Place&)>;

  EmulatedStream(EmulatedQueues::Queue& in, Launch launch) : queue(in), launch_(std::move(launch)) {}

  void launch(const emulator::GridShape& shape, const emulator::BoundKernel& kernel, const emulator::Place& place) override {
    launch_(*this, shape, kernel, place);
  }

  EmulatedQueues::Queue& queue;
  std::shared_ptr<Capture> capture;  // what is enqueued goes there; null: into the queue
  bool began_capture = false;
  std::vector<std::size_t> last;  // the nodes of the capture that the next one runs after
  bool is_live = true;

 private:
  Launch launch_;
};

}  // namespace slora::cuda
