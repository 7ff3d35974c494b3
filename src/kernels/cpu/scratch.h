#pragma once
#include <algorithm>

#include "tensor/buffer.h"

namespace slora::cpu {

// Room that grows to what is asked and then stays, so that steps allocate nothing after warm-up. One owner, one thread.
class Scratch {
 public:
  // `count` elements of T, aligned to a cache line, with contents of no meaning. What was given before is lost.
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
