#pragma once
#include <cstddef>
#include <utility>
#include <vector>

#include "backend/cuda/device_api.h"
#include "backend/cuda/device_owners.h"
#include "tensor/buffer.h"

namespace slora::cuda {

// Memory of the device for what an op computes on the way. What was given away is kept when more is needed: graphs may name it.
class Scratch {
 public:
  [[nodiscard]] Status reserve(DeviceApi& device, std::size_t bytes) {
    if (bytes == 0 || (!buffers_.empty() && bytes <= buffers_.back().bytes())) return {};
    Result<Buffer> memory = allocate_buffer(device, bytes);
    if (!memory) return forward_error(memory);
    buffers_.push_back(*std::move(memory));
    return {};
  }
  // Of the largest. Requires: some was reserved.
  [[nodiscard]] std::byte* data() const { return buffers_.back().data(); }

 private:
  std::vector<Buffer> buffers_;  // each larger than those before
};

}  // namespace slora::cuda
