#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace slora {

// Bytes that this process may still take: what the system has available, or what is left under its cgroup limit, whichever is
// less. Linux; 0 when neither can be read.
[[nodiscard]] std::uint64_t available_memory_bytes();

// Has the system give physical memory to `memory`, which keeps what it holds, rather than when it is first written. `progress` is told
// bytes done and in all. Requires: nobody else uses it yet.
void prefault(std::span<std::byte> memory, const std::function<void(std::uint64_t, std::uint64_t)>& progress);

}  // namespace slora
