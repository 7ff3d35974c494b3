#pragma once
#include <optional>
#include <string_view>

namespace slora {

// The bounds of a request's "timeout", in seconds.
inline constexpr double kTimeoutSecondsMin = 0.001, kTimeoutSecondsMax = 86400;

// The seconds of "timeout" in a body that has not been parsed, so that the time is over for a request that still waits for that. Nothing
// where the body has no such member, or one that parsing may refuse or whose name is written with escapes. Takes about a nanosecond for
// each byte at most, and no memory.
[[nodiscard]] std::optional<float> peek_timeout(std::string_view body);

}  // namespace slora
