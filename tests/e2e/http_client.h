#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slora {

using Json = nlohmann::ordered_json;

struct Reply {
  int status = 0;                              // 0: the connection ended before an answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks joined
  bool is_whole = false;                       // the body came to its proper end

  Json json() const { return Json::parse(body, nullptr, false); }
  // The JSON of every event but [DONE].
  std::vector<Json> events() const;
};

// One connection to 127.0.0.1, spoken to as text. Reads give up after a minute. One thread.
class Connection {
 public:
  explicit Connection(std::uint16_t port);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool is_open() const { return socket_ >= 0; }
  void send(std::string_view bytes) const;
  void send_request(std::string_view method, std::string_view path, std::string_view body,
                    const std::vector<std::string>& header_lines = {}) const;
  // The next reply.
  Reply read_reply();
  // What has come when `text` has, or at the end.
  std::string read_until(std::string_view text);
  // Forgets what came up to the end of a head: of an answer that has no body.
  void drop_head();
  // Sends nothing more, and may still read.
  void end_input() const;
  // Ends at once, as a killed client does.
  void reset();
  // Ends as a program that closes its socket does.
  void close();

 private:
  bool read_more();

  int socket_ = -1;
  std::string buffer_;
};

Reply get(std::uint16_t port, std::string_view path, const std::vector<std::string>& header_lines = {});
Reply post(std::uint16_t port, std::string_view path, const Json& body, const std::vector<std::string>& header_lines = {});
// The sample `name{...}` of /metrics; the first whose line starts so.
std::optional<double> metric(std::uint16_t port, std::string_view name);

}  // namespace slora
