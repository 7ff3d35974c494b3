#include "bench/traffic_http.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "formats/json.h"

namespace slora::bench {
namespace {

constexpr std::size_t kReceiveBytes = std::size_t{1} << 16;
constexpr std::size_t kConnectionsMax = std::size_t{1} << 15;  // about as many ports as Linux has for connections to one address
constexpr rlim_t kDescriptors = kConnectionsMax + 256;
constexpr std::size_t kGetBytesMax = std::size_t{16} << 20;
constexpr timeval kTimeout = {30, 0};  // timeout of connecting, sending and receiving
constexpr std::string_view kScheme = "http://";

std::string reason() { return std::strerror(errno); }

// Whether a call failed for lack of descriptors, ports or memory on this side.
bool is_client_limit(int failure) {
  constexpr std::array kLimits = {EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS, ENOMEM, ENOSPC};
  return std::ranges::find(kLimits, failure) != kLimits.end();
}

std::string code_of(int failure) { return std::string(is_client_limit(failure) ? kClientLimit : "E_HTTP"); }

// As far as the hard limit allows.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kDescriptors) return;
  limit.rlim_cur = std::min(limit.rlim_max, kDescriptors);
  setrlimit(RLIMIT_NOFILE, &limit);
}

Status send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN)
      return error("E_HTTP", "a request can't be sent: nothing was accepted for {} seconds", kTimeout.tv_sec);
    if (sent < 0) return error("E_HTTP", "a request can't be sent: {}", reason());
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

struct Address {
  std::string authority, host, port;
};

Result<std::string> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [read_end, failure] = std::from_chars(text.data(), end, port);
  if (failure == std::errc() && read_end == end && port > 0) return std::string(text);
  return error("bad_option", "--url: expected a port from 1 to 65535, found {}", text);
}

Result<Address> parse_url(std::string_view url) {
  const std::size_t begin = url.starts_with(kScheme) ? kScheme.size() : url.size();
  const std::string_view authority = url.substr(begin, url.find('/', begin) - begin);
  const std::string_view path = url.substr(begin + authority.size());
  // An IPv6 address in brackets contains colons.
  const std::size_t host_end = authority.starts_with('[') ? authority.find(']') : 0;
  if (host_end == std::string_view::npos) return error("bad_option", "--url: expected a ] after the address, found {}", url);
  const std::size_t colon = std::min(authority.find(':', host_end), authority.size());
  const std::string_view host = host_end > 0 ? authority.substr(1, host_end - 1) : authority.substr(0, colon);
  if (host.empty() || (host_end > 0 && colon != host_end + 1)) {
    return error("bad_option", "--url: expected an address such as http://127.0.0.1:8000, found {}", url);
  }
  // Servers below another path are not supported.
  if (!path.empty() && path != "/" && path != "/v1" && path != "/v1/") {
    return error("bad_option", "--url: expected nothing or /v1 after the address, found {}", path);
  }
  Result<std::string> port = colon < authority.size() ? parse_port(authority.substr(colon + 1)) : "80";
  if (!port) return forward_error(port);
  return Address{std::string(authority), std::string(host), std::move(*port)};
}

std::string body_of(const TrafficRequest& content, std::string_view base_model) {
  const std::string prompt = content.prompt.empty() ? Json(content.text).dump() : fmt::format("[{}]", fmt::join(content.prompt, ","));
  return fmt::format(
      R"({{"model":{},"prompt":{},"max_tokens":{},"temperature":0,"ignore_eos":true,"stream":true,"stream_options":{{"include_usage":true}}}})",
      Json(content.adapter.empty() ? base_model : content.adapter).dump(), prompt, content.output_tokens);
}

}  // namespace

Result<std::unique_ptr<TrafficHttp>> TrafficHttp::create(const TrafficHttpOptions& options) {
  Result<Address> address = parse_url(options.url);
  if (!address) return forward_error(address);
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  if (poll < 0) return error("E_HTTP", "no epoll: {}", reason());
  raise_descriptor_limit();
  auto target = std::unique_ptr<TrafficHttp>(new TrafficHttp(poll, options));
  target->authority_ = std::move(address->authority);
  target->host_ = std::move(address->host);
  target->port_ = std::move(address->port);
  target->received_.resize(kReceiveBytes);
  return target;
}

TrafficHttp::~TrafficHttp() {
  for (const Connection& connection : connections_)
    if (connection.socket >= 0) close(connection.socket);
  close(poll_);
}

// The models with a parent are the adapters, in vLLM's server too.
Result<std::vector<std::string>> TrafficHttp::adapter_names() {
  Result<std::string> text = get("/v1/models");
  if (!text) return forward_error(text);
  const Result<Json> models = parse_json(*text);
  if (!models) return error("E_HTTP", "GET /v1/models: expected JSON, found something else: {}", models.error().message);
  const Json* list = models->is_object() ? find_member(*models, "data") : nullptr;
  if (list == nullptr || !list->is_array()) return error("E_HTTP", "GET /v1/models: expected a list \"data\", found {}", shown(*models));
  std::vector<std::string> names;
  for (const Json& model : *list) {
    if (!model.is_object()) return error("E_HTTP", "GET /v1/models: expected objects in \"data\", found {}", shown(model));
    const Result<std::string> name = string_at(model, "id");
    if (!name) return error("E_HTTP", "GET /v1/models: {}", name.error().message);
    if (find_member(model, "parent") != nullptr) {
      names.push_back(*name);
    } else if (base_model_.empty()) {
      base_model_ = *name;
    }
  }
  std::ranges::sort(names);
  return names;
}

Status TrafficHttp::send(std::size_t request, const TrafficRequest& content) {
  const Result<std::size_t> index = idle_connection();
  if (!index) return tl::unexpected(index.error());
  Connection& connection = connections_[*index];
  const std::string body = body_of(content, base_model_);
  if (Status sent = send_all(connection.socket, head_of("POST", "/v1/completions", body.size()) + body); !sent) {
    close(std::exchange(connection.socket, -1));  // or the rest of it would be an event of this request
    return sent;
  }
  connection.is_busy = true;
  connection.request = request;
  connection.output_tokens = content.output_tokens;
  connection.received_tokens = 0;
  connection.answer = TrafficAnswer();
  return {};
}

Status TrafficHttp::wait(std::vector<TrafficEvent>& events, Timestamp until) {
  const SteadyClock clock;
  const auto patience = std::chrono::ceil<std::chrono::milliseconds>(until - clock.now());
  std::array<epoll_event, 256> ready{};
  const auto wait_ms = static_cast<int>(std::clamp<std::int64_t>(patience.count(), 0, 1000));
  const int count = epoll_wait(poll_, ready.data(), static_cast<int>(ready.size()), wait_ms);
  if (count < 0 && errno != EINTR) return error("E_HTTP", "waiting for answers: {}", reason());
  for (int i = 0; i < count; ++i) receive(events, connections_[ready[static_cast<std::size_t>(i)].data.u64]);
  return {};
}

void TrafficHttp::receive(std::vector<TrafficEvent>& events, Connection& connection) {
  const ssize_t count = recv(connection.socket, received_.data(), received_.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (!connection.is_busy) {  // the server closed an idle connection
    close(std::exchange(connection.socket, -1));
    return;
  }
  TrafficEvent& event = events.emplace_back();
  event.request = connection.request;
  event.at = SteadyClock().now();
  if (count <= 0) return end(event, connection, count < 0 ? reason() : "the server closed the connection");
  const Result<std::int32_t> tokens = connection.answer.push({received_.data(), static_cast<std::size_t>(count)});
  if (!tokens) {
    if (connection.answer.status() != 200) event.status = connection.answer.status();
    return end(event, connection, tokens.error().message);
  }
  event.token_count = *tokens;
  connection.received_tokens += *tokens;
  if (options_.token_count == TrafficHttpOptions::TokenCount::exact && connection.received_tokens > connection.output_tokens) {
    return end(event, connection, fmt::format("more than the {} tokens that were requested", connection.output_tokens));
  }
  if (!connection.answer.is_over()) return;
  event.prompt_tokens = connection.answer.prompt_tokens();
  event.cached_tokens = connection.answer.cached_tokens();
  event.output_tokens = connection.answer.output_tokens();
  std::string error = count_error(connection);
  if (options_.connections == TrafficHttpOptions::Connections::each) return end(event, connection, std::move(error));
  event.ended = true;
  event.error = std::move(error);
  connection.is_busy = false;
}

// Empty: the answer has as many tokens as were requested.
std::string TrafficHttp::count_error(const Connection& connection) const {
  const std::int64_t reported = connection.answer.output_tokens();
  if (options_.token_count == TrafficHttpOptions::TokenCount::by_server) {
    const bool fits = reported == 0 ? connection.received_tokens > 0 : reported == connection.output_tokens;
    return fits ? "" : fmt::format("expected {} tokens, found {} as the server counts", connection.output_tokens, reported);
  }
  if (reported == connection.output_tokens && connection.received_tokens == connection.output_tokens) return "";
  return fmt::format("expected {} tokens, found {} events, and {} as the server counts", connection.output_tokens,
                     connection.received_tokens, reported);
}

// Closes the connection.
void TrafficHttp::end(TrafficEvent& event, Connection& connection, std::string error) {
  event.ended = true;
  event.error = std::move(error);
  close(std::exchange(connection.socket, -1));
  connection.is_busy = false;
}

Result<std::size_t> TrafficHttp::idle_connection() {
  const auto at = std::ranges::find(connections_, false, &Connection::is_busy);
  const auto index = static_cast<std::size_t>(at - connections_.begin());
  if (at == connections_.end()) {
    if (connections_.size() == kConnectionsMax)
      return error(std::string(kClientLimit), "this client has at most {} requests at once", kConnectionsMax);
    connections_.emplace_back();
  } else if (at->socket >= 0) {
    return index;
  }
  const Result<int> socket = connect();
  if (!socket) return tl::unexpected(socket.error());
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  wanted.data.u64 = index;
  if (epoll_ctl(poll_, EPOLL_CTL_ADD, *socket, &wanted) != 0) {
    const int failure = errno;
    close(*socket);
    return error(code_of(failure), "watching a connection: {}", std::strerror(failure));
  }
  connections_[index].socket = *socket;
  return index;
}

Result<int> TrafficHttp::connect() const {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int failure = getaddrinfo(host_.c_str(), port_.c_str(), &wanted, &found); failure != 0) {
    if (failure == EAI_SYSTEM) return error(code_of(errno), "--url: {}: {}", host_, reason());
    return error("bad_option", "--url: {}: {}", host_, gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, freeaddrinfo);
  std::string why;
  int why_code = 0;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    const int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor >= 0) setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &kTimeout, sizeof kTimeout);
    if (descriptor >= 0 && ::connect(descriptor, address->ai_addr, address->ai_addrlen) == 0) {
      const int on = 1;
      setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return descriptor;
    }
    why_code = errno;
    why = errno == EINPROGRESS ? fmt::format("no answer for {} seconds", kTimeout.tv_sec) : reason();
    if (descriptor >= 0) close(descriptor);
  }
  return error(code_of(why_code), "no connection to {}: {}", authority_, why);
}

std::string TrafficHttp::head_of(std::string_view method, std::string_view path, std::size_t body_bytes) const {
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", method, path, authority_);
  if (!options_.key.empty()) head += fmt::format("Authorization: Bearer {}\r\n", options_.key);
  if (body_bytes > 0) head += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body_bytes);
  return head + "\r\n";
}

// Uses a new connection, which the server closes after the answer.
Result<std::string> TrafficHttp::get(std::string_view path) {
  const Result<int> socket = connect();
  if (!socket) return tl::unexpected(socket.error());
  std::string head = head_of("GET", path, 0);
  head.insert(head.size() - 2, "Connection: close\r\n");
  const Status sent = send_all(*socket, head);
  setsockopt(*socket, SOL_SOCKET, SO_RCVTIMEO, &kTimeout, sizeof kTimeout);
  std::string text, why;
  while (sent) {
    const ssize_t count = recv(*socket, received_.data(), received_.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) why = errno == EAGAIN ? fmt::format("nothing was received for {} seconds", kTimeout.tv_sec) : reason();
    if (count <= 0) break;
    text.append(received_.data(), static_cast<std::size_t>(count));
    if (text.size() <= kGetBytesMax) continue;
    why = fmt::format("more than {} bytes", kGetBytesMax);
    break;
  }
  close(*socket);
  if (!sent) return tl::unexpected(sent.error());
  if (!why.empty()) return error("E_HTTP", "GET {}: {}", path, why);
  const std::size_t end = text.find("\r\n\r\n");
  if (!text.starts_with("HTTP/1.1 200") || end == std::string::npos) {
    return error("E_HTTP", "GET {}: {}", path, text.empty() ? "no answer" : text.substr(0, text.find("\r\n")));
  }
  return text.substr(end + 4);
}

}  // namespace slora::bench
