#pragma once
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace slora {

// Messages between the server and the process that compiles, over a stream socket: the length in eight bytes, then as many bytes. One
// thread on each side at a time. The socket belongs to the caller.
inline constexpr std::size_t kMessageBytesMax = std::size_t{64} << 20;

using ChannelDeadline = std::optional<std::chrono::steady_clock::time_point>;  // none: never

// False when the other side is gone, or the deadline is over.
[[nodiscard]] bool send_message(int socket, std::string_view message, ChannelDeadline deadline = {});
// Nothing when the other side is gone, the deadline is over, or the message is too large.
[[nodiscard]] std::optional<std::string> receive_message(int socket, ChannelDeadline deadline = {});

}  // namespace slora
