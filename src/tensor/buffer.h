#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "tensor/tensor.h"

namespace slora {

// Owned host memory, zeroed, aligned to 64 bytes; to 2 MiB and asked to lie in huge pages when it is at least that large
// (worth 10-40 % of read bandwidth). Move-only; goes back by its destructor.
class Buffer {
 public:
  Buffer() = default;
  // Ends the process when the system has no such memory: sizes are checked against the limits before they get here.
  explicit Buffer(std::size_t bytes);

  [[nodiscard]] std::byte* data() const { return data_.get(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  // The buffer as a matrix. Requires: it fits.
  [[nodiscard]] Tensor view(DType dtype, std::int64_t rows, std::int64_t cols) const {
    check(static_cast<std::size_t>(rows * cols) * bytes_of(dtype) <= bytes_, "a tensor no larger than its buffer");
    return {data_.get(), dtype, rows, cols, cols};
  }

 private:
  struct Release {
    std::size_t bytes;  // no initialiser: it would make the default constructor unusable inside Buffer
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Release> data_;
  std::size_t bytes_ = 0;
};

}  // namespace slora
