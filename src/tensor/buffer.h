#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "tensor/tensor.h"

namespace slora {

// Owned memory of the host or of a device. Move-only; the destructor frees it.
class Buffer {
 public:
  Buffer() = default;
  // Host memory, zeroed, aligned to 64 bytes. From 2 MiB on it is aligned to 2 MiB and requests huge pages, which are worth 10-40 % of read
  // bandwidth. Ends the process if the system has no such memory: sizes were checked against the limits before.
  explicit Buffer(std::size_t bytes);
  // Memory of any kind, which its deleter frees. The host may not be able to read it: only who allocated it knows.
  [[nodiscard]] static Buffer adopt(std::shared_ptr<std::byte> memory, std::size_t bytes) { return {std::move(memory), bytes}; }

  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;

  [[nodiscard]] std::byte* data() const { return data_.get(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  // The buffer as a matrix. Requires: it fits.
  [[nodiscard]] Tensor view(DType dtype, std::int64_t rows, std::int64_t cols) const {
    check(static_cast<std::size_t>(rows * cols) * bytes_of(dtype) <= bytes_, "expected a tensor no larger than its buffer");
    return {data_.get(), dtype, rows, cols, cols};
  }

 private:
  friend class BufferArena;
  Buffer(std::shared_ptr<std::byte> data, std::size_t bytes) : data_(std::move(data)), bytes_(bytes) {}

  std::shared_ptr<std::byte> data_;  // shared by all buffers of one allocation, which is freed with the last of them
  std::size_t bytes_ = 0;
};

// Allocates host buffers one after another from large mappings, for many pieces that live long: so small pieces are in huge pages too, and
// no piece wastes part of a huge page. Owned and used by one thread; buffers outlive it.
class BufferArena {
 public:
  // As Buffer(bytes).
  [[nodiscard]] Buffer take(std::size_t bytes);

 private:
  Buffer mapping_;  // the newest
  std::size_t used_ = 0;
};

}  // namespace slora
