#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace slora {

// A value that one thread publishes and any thread reads as a whole (a seqlock). Publishing never waits; a reader that overlaps with it
// repeats the read.
template <class T>
class Snapshot {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // Requires: one thread at a time.
  void publish(const T& value) {
    Words words{};
    std::memcpy(words.data(), &value, sizeof value);
    const std::uint64_t version = version_.load(std::memory_order_relaxed);
    version_.store(version + 1, std::memory_order_relaxed);  // odd: being written
    for (std::size_t i = 0; i < words.size(); ++i) words_[i].store(words[i], std::memory_order_release);
    version_.store(version + 2, std::memory_order_release);
  }

  // Reading any newer word (acquire) makes the newer version visible to the check below.
  [[nodiscard]] T read() const {
    Words words{};
    std::uint64_t version = 0;
    do {
      version = version_.load(std::memory_order_acquire);
      for (std::size_t i = 0; i < words.size(); ++i) words[i] = words_[i].load(std::memory_order_acquire);
    } while (version % 2 != 0 || version_.load(std::memory_order_relaxed) != version);
    T value;
    std::memcpy(static_cast<void*>(&value), words.data(), sizeof value);
    return value;
  }

 private:
  using Words = std::array<std::uint64_t, (sizeof(T) + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t)>;

  std::atomic<std::uint64_t> version_{0};
  std::array<std::atomic<std::uint64_t>, std::tuple_size_v<Words>> words_{};
};

}  // namespace slora
