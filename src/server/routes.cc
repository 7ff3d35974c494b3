#include "server/routes.h"

namespace slora {

Result<const Route*> RouteTable::find(std::string_view method, std::string_view path) const {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  for (const Route& route : routes_) {
    if (route.path == path && route.method == wanted) return &route;
  }
  const std::string methods = methods_of(path);
  if (methods.empty())
    return error("not_found", "There is nothing at this path. The API is at /v1/models, /v1/completions and /v1/chat/completions.");
  return tl::unexpected<Error>(Error{"method_not_allowed", fmt::format("This path takes {}.", methods), methods});
}

std::string RouteTable::methods_of(std::string_view path) const {
  std::string methods;
  for (const Route& route : routes_) {
    if (route.path != path) continue;
    if (!methods.empty()) methods += ", ";
    methods += route.method;
    if (route.method == "GET") methods += ", HEAD";
  }
  return methods;
}

}  // namespace slora
