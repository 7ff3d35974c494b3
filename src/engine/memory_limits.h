#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace slora {

// Bytes that this process may still allocate: what the system has available, or what is left under its cgroup limit, whichever is less.
// Linux; 0 if neither can be read.
[[nodiscard]] std::uint64_t available_memory_bytes();

// Commits physical memory for `memory` now instead of at the first write; its contents stay. `progress` receives the bytes done and their
// total. Requires: no other thread uses the memory yet.
void prefault(std::span<std::byte> memory, const std::function<void(std::uint64_t, std::uint64_t)>& progress);

[[nodiscard]] double gib(std::uint64_t bytes);
// "1.50 GiB" or "3.2 MiB", for messages.
[[nodiscard]] std::string shown_bytes(std::uint64_t bytes);

}  // namespace slora
