#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/traffic_answer.h"
#include "bench/traffic_target.h"

namespace slora::bench {

struct TrafficHttpOptions {
  // How an answer's tokens are counted. exact: an event of its stream is a token, and both its events and the server's count must be what
  // was requested. by_server: only the server's count must, where it reports one; peers send several tokens in an event, or none.
  enum class TokenCount : std::uint8_t { exact, by_server };
  // each: a new connection for every request, so that none meets one that its server is just closing after a time without requests.
  enum class Connections : std::uint8_t { kept, each };

  std::string url;  // such as http://127.0.0.1:8000, with or without /v1
  std::string key;  // may be empty
  TokenCount token_count = TokenCount::exact;
  Connections connections = Connections::kept;
};

// Sends requests to a server as streamed /v1/completions, over connections with one request at a time on each. It does as
// little work as possible, because a server on the same machine needs the cores. create() raises this process's soft limit of open files,
// of which every connection is one. One thread.
class TrafficHttp final : public TrafficTarget {
 public:
  [[nodiscard]] static Result<std::unique_ptr<TrafficHttp>> create(const TrafficHttpOptions& options);
  ~TrafficHttp() override;

  [[nodiscard]] Result<std::vector<std::string>> adapter_names() override;
  [[nodiscard]] Status send(std::size_t request, const TrafficRequest& content) override;
  [[nodiscard]] Status wait(std::vector<TrafficEvent>& events, Timestamp until) override;
  [[nodiscard]] std::optional<Timestamp> silence_max() const override { return std::chrono::seconds(300); }

 private:
  struct Connection {
    int socket = -1;  // watched by `poll_`; -1: closed
    bool is_busy = false;
    std::size_t request = 0;
    std::int32_t output_tokens = 0;  // as requested
    std::int32_t received_tokens = 0;
    TrafficAnswer answer;
  };

  TrafficHttp(int poll, const TrafficHttpOptions& options) : poll_(poll), options_(options) {}
  // Its index; it is open.
  [[nodiscard]] Result<std::size_t> idle_connection();
  [[nodiscard]] Result<int> connect() const;
  [[nodiscard]] std::string head_of(std::string_view method, std::string_view path, std::size_t body_bytes) const;
  [[nodiscard]] Result<std::string> get(std::string_view path);
  void receive(std::vector<TrafficEvent>& events, Connection& connection);
  [[nodiscard]] std::string count_error(const Connection& connection) const;
  void end(TrafficEvent& event, Connection& connection, std::string error);

  const int poll_;  // epoll descriptor
  const TrafficHttpOptions options_;
  // From the URL: "host:port", and both separately.
  std::string authority_, host_, port_;
  std::string base_model_;
  std::vector<Connection> connections_;
  std::vector<char> received_;
};

}  // namespace slora::bench
