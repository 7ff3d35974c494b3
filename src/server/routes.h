#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/api_keys.h"
#include "server/http_types.h"

namespace slora {

// One line of the surface: who may call what, and who answers.
struct Route {
  std::string_view method;
  std::string_view path;  // compared byte by byte; nothing is decoded or normalised
  Role role;              // has no default: a route without one does not compile
  std::function<void(std::shared_ptr<Exchange>)> handler;
};

// Every route of the server. Constant after construction.
class RouteTable {
 public:
  explicit RouteTable(std::vector<Route> routes) : routes_(std::move(routes)) {}

  // The route (of GET for HEAD, which differs only in what is sent), or "not_found", or "method_not_allowed" with the path's methods as `param`.
  [[nodiscard]] Result<const Route*> find(std::string_view method, std::string_view path) const;

 private:
  [[nodiscard]] std::string methods_of(std::string_view path) const;

  std::vector<Route> routes_;
};

}  // namespace slora
