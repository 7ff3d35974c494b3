#pragma once
#include <algorithm>

#include "tensor/buffer.h"

namespace slora::cpu {

// A buffer that grows to the largest size requested and is then reused, so that steps allocate nothing after warm-up. One owner, one
// thread.
class Scratch {
 public:
  // `count` elements of T, aligned to a cache line, uninitialised. Invalidates what an earlier call returned.
  template <class T>
  [[nodiscard]] T* take(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    if (buffer_.bytes() < bytes) buffer_ = Buffer(std::max(bytes, 2 * buffer_.bytes()));
    return reinterpret_cast<T*>(buffer_.data());
  }

 private:
  Buffer buffer_;
};

}  // namespace slora::cpu
