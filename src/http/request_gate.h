#pragma once
#include <string_view>

#include "base/result.h"
#include "http/api_keys.h"
#include "http/connections.h"
#include "http/routes.h"

namespace slora {

// The parts of a request's head that decide whether it is served, as they were sent.
struct GateHead {
  std::string_view method = {}, target = {}, authorization = {}, host = {}, origin = {};
};

struct Admitted {
  const Route* route = nullptr;
  Caller caller;
  bool is_trusted = true;  // may see names of adapters: it brought a key, or there are none, or it came to the health port
};

// Finds the route and decides whether the sender may use it, before any of the body is read.
//
// Web pages can make browsers send requests to a server on their user's machine. Keys keep them out. A server without keys refuses a Host
// that is not this machine's (DNS rebinding) and, where something could change, an Origin that is neither the server's own nor allowed;
// routes of the operator need an origin that is allowed by its name.
[[nodiscard]] Result<Admitted> admit_request(const HttpConnections& shared, const GateHead& head);

}  // namespace slora
