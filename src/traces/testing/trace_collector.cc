#include "traces/testing/trace_collector.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "base/check.h"

namespace slora {

TraceCollector::TraceCollector(std::vector<std::string> first_answers, std::string body)
    : first_answers_(std::move(first_answers)), body_(std::move(body)), listening_(socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  check(bind(listening_, generic, sizeof(address)) == 0 && listen(listening_, 16) == 0, "expected a port of the loopback");
  socklen_t bytes = sizeof(address);
  check(getsockname(listening_, generic, &bytes) == 0, "expected to learn the port");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

TraceCollector::~TraceCollector() {
  is_ending_ = true;
  shutdown(listening_, SHUT_RDWR);  // ends accept()
  thread_.join();
  close(listening_);
}

std::vector<nlohmann::json> TraceCollector::wait_for_spans(std::size_t count) const {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (spans_.size() >= count || std::chrono::steady_clock::now() > end) return spans_;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::size_t TraceCollector::export_count() const {
  const std::lock_guard lock(mutex_);
  return export_count_;
}

std::string TraceCollector::head() const {
  const std::lock_guard lock(mutex_);
  return head_;
}

void TraceCollector::run() {
  while (!is_ending_) {
    const int connection = accept(listening_, nullptr, nullptr);
    if (connection < 0) continue;
    serve(connection);
    close(connection);
  }
}

void TraceCollector::serve(int connection) {
  constexpr std::string_view length_name = "Content-Length: ";
  std::string text;
  std::size_t head_end = 0, size = std::string::npos;
  while (text.size() < size) {
    std::array<char, 4096> buffer{};
    const ssize_t bytes = read(connection, buffer.data(), buffer.size());
    if (bytes <= 0) return;
    text.append(buffer.data(), static_cast<std::size_t>(bytes));
    head_end = text.find("\r\n\r\n");
    const std::size_t length = text.find(length_name);
    if (head_end != std::string::npos && length < head_end) {
      size = head_end + 4 + std::stoul(text.substr(length + length_name.size()));
    }
  }
  std::string status = "200";
  {
    const std::lock_guard lock(mutex_);
    head_ = text.substr(0, head_end);
    if (export_count_ < first_answers_.size()) status = first_answers_[export_count_];
    ++export_count_;
    const nlohmann::json body = nlohmann::json::parse(text.substr(head_end + 4));
    if (status == "200") {
      for (const nlohmann::json& span : body.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans")) spans_.push_back(span);
    }
  }
  if (status == "hang") {
    char end = 0;
    while (read(connection, &end, 1) > 0) {  // until the exporter closes it
    }
    return;
  }
  const std::string head = "HTTP/1.1 " + status.substr(0, 3) + " x" + status.substr(3) + "\r\nConnection: close\r\n";
  const std::string answer = head + "Content-Length: " + std::to_string(body_.size()) + "\r\n\r\n" + body_;
  (void)::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);  // to nobody, when the exporter no longer waits
}

nlohmann::json attribute_of(const nlohmann::json& span, const std::string& name) {
  for (const nlohmann::json& attribute : span.at("attributes")) {
    if (attribute.at("key") == name) return attribute.at("value").front();
  }
  return nullptr;
}

}  // namespace slora
