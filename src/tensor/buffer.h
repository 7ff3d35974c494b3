#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "tensor/tensor.h"

namespace slora {

// Owned host memory, zeroed, aligned to 64 bytes; to 2 MiB and asked to lie in huge pages when it is at least that large
// (worth 10-40 % of read bandwidth). Move-only; goes back by its destructor.
class Buffer {
 public:
  Buffer() = default;
  // Ends the process when the system has no such memory: sizes are checked against the limits before they get here.
  explicit Buffer(std::size_t bytes);

  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;

  [[nodiscard]] std::byte* data() const { return data_.get(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  // The buffer as a matrix. Requires: it fits.
  [[nodiscard]] Tensor view(DType dtype, std::int64_t rows, std::int64_t cols) const {
    check(static_cast<std::size_t>(rows * cols) * bytes_of(dtype) <= bytes_, "a tensor no larger than its buffer");
    return {data_.get(), dtype, rows, cols, cols};
  }

 private:
  friend class BufferArena;
  Buffer(std::shared_ptr<std::byte> data, std::size_t bytes) : data_(std::move(data)), bytes_(bytes) {}

  std::shared_ptr<std::byte> data_;  // shared by all buffers of one mapping, which goes back with the last of them
  std::size_t bytes_ = 0;
};

// Cuts buffers from large mappings, one after another, for what comes in many pieces and stays: small pieces lie in huge pages too,
// and no piece ends in a huge page of its own. Owned and used by one thread; buffers outlive it.
class BufferArena {
 public:
  // As Buffer(bytes).
  [[nodiscard]] Buffer take(std::size_t bytes);

 private:
  Buffer mapping_;  // the newest
  std::size_t used_ = 0;
};

}  // namespace slora
