#include "http/request_gate.h"

#include <memory>
#include <utility>

#include "http/cors.h"
#include "http/head.h"

namespace slora {
namespace {

Status check_page(const HttpConnections& shared, const Route& route, const GateHead& head) {
  if (Status host = check_host(head.host, shared.cors); !host) return host;
  const bool changes_nothing = head.method == "GET" || head.method == "HEAD";
  if (changes_nothing || head.origin.empty() || is_same_origin(head.origin, head.host)) return {};
  if (route.role == Role::admin ? shared.cors.names(head.origin) : shared.cors.allows(head.origin)) return {};
  return error("not_permitted", "The request comes from a web page of another origin, which --allowed-origins does not name.");
}

}  // namespace

Result<Admitted> admit_request(const HttpConnections& shared, const GateHead& head) {
  const Result<const Route*> found = shared.routes->find(head.method, path_of(head.target));
  if (!found) return tl::unexpected(found.error());
  const Route& route = **found;
  Admitted admitted{&route, {{}, std::make_shared<const ModelAccess>()}, true};
  if (shared.door == Door::health) {
    if (route.doors != Doors::every)
      return error("not_found", "The health port has /, /health, /health_generate, /ping, /metrics, /version and /load only.");
    return admitted;
  }
  if (route.role == Role::health) return admitted;
  if (shared.keys->need() == KeyNeed::none) {
    if (Status page = check_page(shared, route, head); !page) return forward_error(page);
    return admitted;
  }
  const Role wanted = needs_key(route.role) ? route.role : Role::user;
  Result<Caller> caller = shared.keys->admit(wanted, head.authorization);
  if (!caller && needs_key(route.role)) return forward_error(caller);
  admitted.is_trusted = caller.has_value();
  if (caller) admitted.caller = std::move(*caller);
  return admitted;
}

}  // namespace slora
