#include "constraint/xgrammar/compile_channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace slora {
namespace {

bool wait_for(int socket, short what, ChannelDeadline deadline) {
  while (true) {
    int wait_ms = -1;
    if (deadline) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now()).count();
      if (left <= 0) return false;
      wait_ms = static_cast<int>(std::min<std::int64_t>(left, 60'000));
    }
    pollfd polled{socket, what, 0};
    const int ready = poll(&polled, 1, wait_ms);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool send_all(int socket, const char* bytes, std::size_t count, ChannelDeadline deadline) {
  while (count > 0) {
    if (!wait_for(socket, POLLOUT, deadline)) return false;
    const ssize_t sent = send(socket, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (sent <= 0) continue;
    bytes += sent;
    count -= static_cast<std::size_t>(sent);
  }
  return true;
}

bool receive_all(int socket, char* bytes, std::size_t count, ChannelDeadline deadline) {
  while (count > 0) {
    if (!wait_for(socket, POLLIN, deadline)) return false;
    const ssize_t received = recv(socket, bytes, count, MSG_DONTWAIT);
    if (received == 0 || (received < 0 && errno != EINTR && errno != EAGAIN)) return false;
    if (received < 0) continue;
    bytes += received;
    count -= static_cast<std::size_t>(received);
  }
  return true;
}

}  // namespace

bool send_message(int socket, std::string_view message, ChannelDeadline deadline) {
  const std::uint64_t count = message.size();
  std::array<char, sizeof count> head;
  std::memcpy(head.data(), &count, sizeof count);
  return send_all(socket, head.data(), head.size(), deadline) && send_all(socket, message.data(), message.size(), deadline);
}

std::optional<std::string> receive_message(int socket, ChannelDeadline deadline) {
  std::uint64_t count = 0;
  std::array<char, sizeof count> head;
  if (!receive_all(socket, head.data(), head.size(), deadline)) return std::nullopt;
  std::memcpy(&count, head.data(), sizeof count);
  if (count > kMessageBytesMax) return std::nullopt;
  std::string message(count, '\0');
  if (!receive_all(socket, message.data(), message.size(), deadline)) return std::nullopt;
  return message;
}

}  // namespace slora
