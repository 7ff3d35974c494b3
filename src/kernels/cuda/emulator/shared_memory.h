#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace slora::emulator {

// A block's shared memory between two pieces of a pattern that must not change. Filled with 0xff.
class SharedMemory {
 public:
  std::byte* allocate(std::size_t bytes) {
    const std::size_t total_bytes = bytes + 3 * kGuardBytes;
    memory_ = std::make_unique<std::byte[]>(total_bytes);
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.get());
    begin_ = memory_.get() + kGuardBytes + (kGuardBytes - address % kGuardBytes) % kGuardBytes;
    bytes_ = bytes;
    std::memset(memory_.get(), static_cast<int>(kPattern), total_bytes);
    std::memset(begin_, 0xff, bytes);
    return begin_;
  }
  [[nodiscard]] bool has_changed_guards() const {
    const auto is_pattern = [](std::byte value) { return value == kPattern; };
    return !std::all_of(begin_ - kGuardBytes, begin_, is_pattern) ||
           !std::all_of(begin_ + bytes_, begin_ + bytes_ + kGuardBytes, is_pattern);
  }
  // Is the address in it or in the patterns next to it?
  [[nodiscard]] bool surrounds(const std::byte* address) const {
    return address >= begin_ - kGuardBytes && address < begin_ + bytes_ + kGuardBytes;
  }

 private:
  static constexpr std::size_t kGuardBytes = 1024;  // also the alignment
  static constexpr std::byte kPattern{0xa5};

  std::unique_ptr<std::byte[]> memory_;
  std::byte* begin_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace slora::emulator
