#include "e2e/http_client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace slora {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

std::vector<Json> Reply::events() const {
  std::vector<Json> parsed;
  for (std::size_t begin = 0, end = 0; (end = body.find("\n\n", begin)) != std::string::npos; begin = end + 2) {
    const std::string data = body.substr(begin + 6, end - begin - 6);
    if (data != "[DONE]") parsed.push_back(Json::parse(data, nullptr, false));
  }
  return parsed;
}

Connection::Connection(std::uint16_t port) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval limit{60, 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    close();
  }
}

Connection::~Connection() {
  if (socket_ >= 0) close();
}

void Connection::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void Connection::send_request(std::string_view method, std::string_view path, std::string_view body,
                              const std::vector<std::string>& header_lines) const {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\n", method, path);
  for (const std::string& line : header_lines) text += line + "\r\n";
  if (!body.empty()) text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  text += "\r\n";
  text += body;
  send(text);
}

bool Connection::read_more() {
  std::array<char, 16384> bytes{};
  const ssize_t count = recv(socket_, bytes.data(), bytes.size(), 0);
  if (count > 0) buffer_.append(bytes.data(), static_cast<std::size_t>(count));
  return count > 0;
}

std::string Connection::read_until(std::string_view text) {
  while (buffer_.find(text) == std::string::npos && read_more()) {
  }
  return buffer_;
}

Reply Connection::read_reply() {
  Reply reply;
  for (;;) {  // interim responses come first
    read_until("\r\n\r\n");
    if (!buffer_.starts_with("HTTP/1.1 1")) break;
    drop_head();
  }
  const std::size_t head_end = buffer_.find("\r\n\r\n");
  if (head_end == std::string::npos) return reply;
  const std::string head = buffer_.substr(0, head_end + 2);
  buffer_.erase(0, head_end + 4);
  reply.status = std::stoi(head.substr(9, 3));
  for (std::size_t begin = head.find("\r\n") + 2, end = 0; (end = head.find("\r\n", begin)) != std::string::npos; begin = end + 2) {
    const std::string line = head.substr(begin, end - begin);
    reply.headers[lower(line.substr(0, line.find(':')))] = line.substr(line.find(':') + 2);
  }
  if (reply.headers.contains("content-length")) {
    const std::size_t bytes = std::stoul(reply.headers["content-length"]);
    while (buffer_.size() < bytes && read_more()) {
    }
    reply.is_whole = buffer_.size() >= bytes;
    reply.body = buffer_.substr(0, bytes);
    buffer_.erase(0, bytes);
    return reply;
  }
  for (;;) {  // chunks
    read_until("\r\n");
    const std::size_t line_end = buffer_.find("\r\n");
    if (line_end == std::string::npos) return reply;
    const std::size_t bytes = std::stoul(buffer_.substr(0, line_end), nullptr, 16);
    while (buffer_.size() < line_end + 2 + bytes + 2) {
      if (!read_more()) return reply;
    }
    reply.body += buffer_.substr(line_end + 2, bytes);
    buffer_.erase(0, line_end + 2 + bytes + 2);
    reply.is_whole = bytes == 0;
    if (reply.is_whole) return reply;
  }
}

void Connection::drop_head() { buffer_.erase(0, buffer_.find("\r\n\r\n") + 4); }

void Connection::end_input() const { shutdown(socket_, SHUT_WR); }

void Connection::reset() {
  const linger now{1, 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

void Connection::close() {
  ::close(socket_);
  socket_ = -1;
}

Reply get(std::uint16_t port, std::string_view path, const std::vector<std::string>& header_lines) {
  Connection connection(port);
  connection.send_request("GET", path, "", header_lines);
  return connection.read_reply();
}

Reply post(std::uint16_t port, std::string_view path, const Json& body, const std::vector<std::string>& header_lines) {
  Connection connection(port);
  connection.send_request("POST", path, body.dump(), header_lines);
  return connection.read_reply();
}

std::optional<double> metric(std::uint16_t port, std::string_view name) {
  const std::string text = "\n" + get(port, "/metrics").body;
  const std::size_t at = text.find("\n" + std::string(name));
  if (at == std::string::npos) return std::nullopt;
  const std::size_t end = text.find('\n', at + 1);
  const std::string line = text.substr(at + 1, end - at - 1);
  return std::stod(line.substr(line.rfind(' ') + 1));
}

}  // namespace slora
