#pragma once
#include <cstdint>

namespace slora {

// Bytes that this process may still take: what the system has available, or what is left under its cgroup limit, whichever is
// less. Linux; 0 when neither can be read.
[[nodiscard]] std::uint64_t available_memory_bytes();

}  // namespace slora
