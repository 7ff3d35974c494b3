#pragma once
#include <cstring>

#include "backend/backend.h"

namespace slora {

// A vector [1, count] fp32 in the host's memory.
inline std::span<const float> numbers_of(Tensor vector) { return {vector.row<float>(0), static_cast<std::size_t>(vector.cols)}; }
inline std::span<const float> numbers_of(const DeviceVector& vector) { return numbers_of(vector.view()); }

// What backends share that compute in the host's memory: allocating is the system's, and copies are plain ones.
class HostBackend : public Backend {
 public:
  DType activation_dtype() const override { return DType::f32; }
  Buffer allocate(std::size_t bytes) override { return Buffer(bytes); }
  void upload(Tensor to, const void* from) override {
    const std::size_t row_bytes = static_cast<std::size_t>(to.cols) * bytes_of(to.dtype);
    for (std::int64_t row = 0; row < to.rows; ++row) {
      std::memcpy(to.row_bytes(row), static_cast<const std::byte*>(from) + static_cast<std::size_t>(row) * row_bytes, row_bytes);
    }
  }
  void download(void* to, Tensor from) override {
    const std::size_t row_bytes = static_cast<std::size_t>(from.cols) * bytes_of(from.dtype);
    for (std::int64_t row = 0; row < from.rows; ++row) {
      std::memcpy(static_cast<std::byte*>(to) + static_cast<std::size_t>(row) * row_bytes, from.row_bytes(row), row_bytes);
    }
  }
};

}  // namespace slora
