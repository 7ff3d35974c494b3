#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/json.h"
#include "http/api_keys.h"
#include "http/types.h"

namespace slora {

// What a route takes and gives, for its description; nothing is checked against it while the server runs.
struct RouteAbout {
  std::string summary;
  std::shared_ptr<const Json> body;  // JSON Schema of its request body; null: it takes none. Shared by aliases of one route
  struct Answer {
    std::string content_type;          // empty: no body
    std::shared_ptr<const Json> body;  // JSON Schema; null: text, or events
  };
  std::vector<Answer> answers;     // to 200: one, or a whole one and a stream
  std::vector<int> refusals = {};  // statuses in addition to those that its role and its body imply
  std::string_view body_type = "application/json";
};

// Where a route is served: on the server's port, or on every port, the one for health checks included.
enum class Doors : std::uint8_t { main, every };

// How long a body may be: HttpLimits::body_bytes_max or large_body_bytes_max.
enum class BodySize : std::uint8_t { usual, large };

// One route: who may call it, and its handler.
struct Route {
  std::string_view method;
  // Compared byte by byte; nothing is decoded or normalised. A last part in braces stands for the rest of a path, which is not empty.
  std::string_view path;
  Role role;  // has no default: a route without one does not compile
  std::function<void(std::shared_ptr<Exchange>)> handler;
  RouteAbout about = {};
  Doors doors = Doors::main;
  BodySize body_size = BodySize::usual;

  // The path up to its part in braces.
  [[nodiscard]] std::string_view fixed_path() const { return path.substr(0, path.find('{')); }
  [[nodiscard]] bool matches(std::string_view asked) const;
};

// Every route of the server. Constant after construction.
class RouteTable {
 public:
  explicit RouteTable(std::vector<Route> routes) : routes_(std::move(routes)) {}

  // The route (of GET for HEAD, which differs only in what is sent), or "not_found", or "method_not_allowed" with the path's methods as
  // `param`.
  [[nodiscard]] Result<const Route*> find(std::string_view method, std::string_view path) const;

  [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }

 private:
  [[nodiscard]] std::string methods_of(std::string_view path) const;

  std::vector<Route> routes_;
};

}  // namespace slora
