#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/model_access.h"
#include "api/token_quota.h"
#include "base/byte_budget.h"
#include "base/ids.h"

namespace slora {

// A request as the connection has read it. `path` is the route's: the target's raw bytes before '?' were compared with it and nothing
// was decoded, so that routing, authorisation and metrics can't see different paths.
struct HttpRequest {
  std::string method;
  std::string path;
  std::string path_rest;  // what matched the part in braces of the route's path; raw bytes
  std::string content_type;
  std::string request_id;  // the client's x-request-id, cleaned; a label to echo, never a key
  std::string body;
  TenantId tenant;                            // whose key it brought; the operator's where there are none
  ClientId client;                            // the tenant of its key, or its connection
  std::shared_ptr<const ModelAccess> access;  // of its key; never null
  std::shared_ptr<TokenQuota> quota{};        // of its key; null: none
  bool is_trusted = true;                     // may see names of adapters on routes that are open to anybody
  std::string query{};                        // the target's raw bytes after '?'
  std::string traceparent{}, tracestate{};    // of these headers, as they came
  std::string accept{}, if_none_match{};      // of these headers; `accept` is empty on the health port, which has no page
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;
// A body, with the memory that is reserved for it and for what is made of it.
struct RequestBody {
  std::string text;
  ByteReservation memory;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  HttpHeaders headers;
  std::string body;
};

// One request being answered. Answered in one of two ways: respond(), or begin_stream(), send()..., end_stream(). The stream's methods may
// throw std::bad_alloc, and have done nothing then. I/O thread only; shared by the connection and by the work that answers it, since either
// may end first: after the client has left, all calls are ignored.
class Exchange {
 public:
  virtual ~Exchange() = default;

  [[nodiscard]] virtual const HttpRequest& request() const = 0;
  // Hands over the body, which may be large.
  [[nodiscard]] virtual RequestBody take_body() = 0;

  // Never fails: without memory for the answer it is give_up().
  virtual void respond(HttpResponse response) = 0;

  virtual void begin_stream(std::string_view content_type) = 0;
  // Never blocks. A client that reads too slowly is disconnected, as if it had left.
  virtual void send(std::string_view bytes) = 0;
  virtual void end_stream() = 0;
  // There is no memory to make an answer: it becomes a 503. In a stream the connection is closed before the body's proper end, so that the
  // client can't take it for whole. Takes no memory.
  virtual void give_up() noexcept = 0;

  // `gone` is called once if the client leaves before the answer is complete; never from within another call here.
  virtual void on_gone(std::function<void()> gone) = 0;
};

}  // namespace slora
