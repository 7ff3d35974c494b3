#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace slora {

// A value that one thread publishes and any thread reads whole. Publishing waits for nobody; who reads while it happens reads again.
template <class T>
class Snapshot {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // One thread at a time.
  void publish(const T& value) {
    Words words{};
    std::memcpy(words.data(), &value, sizeof value);
    const std::uint64_t version = version_.load(std::memory_order_relaxed);
    version_.store(version + 1, std::memory_order_relaxed);  // odd: being written
    for (std::size_t i = 0; i < words.size(); ++i) words_[i].store(words[i], std::memory_order_release);
    version_.store(version + 2, std::memory_order_release);
  }

  // A word of a newer value brings with it that the version is another by now.
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
