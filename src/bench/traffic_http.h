#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/traffic_answer.h"
#include "bench/traffic_target.h"

namespace slora::bench {

// Sends requests to a server as streamed /v1/completions, over keep-alive connections with one request at a time on each. It does as
// little work as possible, because a server on the same machine needs the cores. One thread.
class TrafficHttp final : public TrafficTarget {
 public:
  // `url` such as http://127.0.0.1:8000, with or without /v1. `key` may be empty.
  [[nodiscard]] static Result<std::unique_ptr<TrafficHttp>> create(const std::string& url, const std::string& key);
  ~TrafficHttp() override;

  [[nodiscard]] Result<std::vector<std::string>> adapter_names() override;
  [[nodiscard]] Status send(std::size_t request, const TrafficRequest& content) override;
  [[nodiscard]] Status wait(std::vector<TrafficEvent>& events, Timestamp until) override;
  [[nodiscard]] std::optional<Timestamp> silence_max() const override { return std::chrono::seconds(300); }

 private:
  struct Connection {
    int socket = -1;
    bool is_busy = false;
    std::size_t request = 0;
    std::int32_t output_tokens = 0;  // as requested
    std::int32_t received_tokens = 0;
    TrafficAnswer answer;
  };

  explicit TrafficHttp(int poll) : poll_(poll) {}
  [[nodiscard]] Result<std::size_t> idle_connection();
  [[nodiscard]] Result<int> connect() const;
  [[nodiscard]] std::string head_of(std::string_view method, std::string_view path, std::size_t body_bytes) const;
  [[nodiscard]] Result<std::string> get(std::string_view path);
  void receive(std::vector<TrafficEvent>& events, Connection& connection);
  void end(TrafficEvent& event, Connection& connection, std::string error);

  const int poll_;  // epoll descriptor
  // From the URL: "host:port", and both separately.
  std::string authority_, host_, port_;
  std::string key_, base_model_;
  std::vector<Connection> connections_;
  std::vector<char> received_;
};

}  // namespace slora::bench
