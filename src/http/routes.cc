#include "http/routes.h"

namespace slora {

bool Route::matches(std::string_view asked) const {
  const std::string_view fixed = fixed_path();
  if (fixed.size() == path.size()) return asked == path;
  return asked.size() > fixed.size() && asked.starts_with(fixed);
}

Result<const Route*> RouteTable::find(std::string_view method, std::string_view path) const {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  for (const Route& route : routes_) {
    if (route.method == wanted && route.matches(path)) return &route;
  }
  const std::string methods = methods_of(path);
  if (methods.empty())
    return error("not_found", "There is nothing at this path. GET /openapi.json describes all paths; the API begins at /v1/models.");
  return tl::unexpected<Error>(Error{"method_not_allowed", fmt::format("This path takes {}.", methods), methods});
}

std::string RouteTable::methods_of(std::string_view path) const {
  std::string methods;
  for (const Route& route : routes_) {
    if (!route.matches(path)) continue;
    if (!methods.empty()) methods += ", ";
    methods += route.method;
    if (route.method == "GET") methods += ", HEAD";
  }
  return methods;
}

}  // namespace slora
