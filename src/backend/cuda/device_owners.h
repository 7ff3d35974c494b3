#pragma once
#include <memory>
#include <utility>

#include "backend/cuda/device_api.h"
#include "tensor/buffer.h"

namespace slora::cuda {

// Owns a stream, an event or a graph. The device outlives it. A device that fails to destroy it has failed in what came before, or will in
// what comes next, so that error is not told twice.
template <class Handle>
class Owned {
 public:
  Owned() = default;
  Owned(DeviceApi& device, Handle handle) : device_(&device), handle_(handle) {}
  Owned(Owned&& other) noexcept : device_(other.device_), handle_(std::exchange(other.handle_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() {
    if (handle_ != nullptr) static_cast<void>(device_->destroy(handle_));
  }

  [[nodiscard]] Handle get() const { return handle_; }

 private:
  DeviceApi* device_ = nullptr;
  Handle handle_ = nullptr;
};

// Memory of the device, and page-locked memory of the host. The device outlives the buffer. Requires: bytes > 0.
[[nodiscard]] inline Result<Buffer> allocate_buffer(DeviceApi& device, std::size_t bytes) {
  Result<std::byte*> memory = device.allocate(bytes);
  if (!memory) return forward_error(memory);
  return Buffer::adopt(std::shared_ptr<std::byte>(*memory, [&device](std::byte* freed) { static_cast<void>(device.free(freed)); }), bytes);
}
[[nodiscard]] inline Result<Buffer> allocate_host_buffer(DeviceApi& device, std::size_t bytes) {
  Result<std::byte*> memory = device.allocate_host(bytes);
  if (!memory) return forward_error(memory);
  return Buffer::adopt(std::shared_ptr<std::byte>(*memory, [&device](std::byte* freed) { static_cast<void>(device.free_host(freed)); }),
                       bytes);
}

}  // namespace slora::cuda
