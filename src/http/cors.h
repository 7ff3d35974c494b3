#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/types.h"

namespace slora {

// Which web pages of other origins may call the server, and how. "*" stands for all of a kind.
struct CorsOptions {
  std::vector<std::string> origins = {};  // such as https://app.example.org; none: no page may
  std::vector<std::string> methods = {"*"};
  std::vector<std::string> headers = {"*"};
  bool allow_credentials = false;
};

// The CORS protocol of the Fetch standard, by which browsers decide whether a page may send a request and read its answer. Constant after
// construction; any thread.
class Cors {
 public:
  // "bad_origin" when one of the origins is none.
  [[nodiscard]] static Status check(const CorsOptions& options);
  explicit Cors(CorsOptions options = {});

  [[nodiscard]] bool is_on() const { return !options_.origins.empty(); }
  // Whether pages of this origin may call.
  [[nodiscard]] bool allows(std::string_view origin) const { return allows_all_ || names(origin); }
  // The same, without those that only "*" allows.
  [[nodiscard]] bool names(std::string_view origin) const;

  // Whether `host`, of a Host header, is that of such an origin: a proxy serves the server there.
  [[nodiscard]] bool names_host(std::string_view host) const;

  // For every answer to a request with this Origin header; empty: it has none.
  [[nodiscard]] HttpHeaders answer_headers(std::string_view origin) const;

  // What a browser asks before it lets a page send a request: the values of its headers.
  struct Preflight {
    std::string_view origin = {}, method = {}, headers = {};
    bool to_private_network = false;
  };
  // The headers of the answer; "not_permitted" where the page may not.
  [[nodiscard]] Result<HttpHeaders> preflight_headers(const Preflight& asked) const;

 private:
  CorsOptions options_;
  bool allows_all_ = false;
};

// For a server without keys, which everybody on its machine may use: whether a request to it may come from a web page that one of them has
// open. `host` and `origin` are its headers.

// Refuses, with "not_permitted", a Host header that names neither this machine nor the host of an origin that is allowed by its name: a
// page whose name was made to point here (DNS rebinding).
[[nodiscard]] Status check_host(std::string_view host, const Cors& cors);
// Whether a page at `origin` was served by this same host, as the request names it.
[[nodiscard]] bool is_same_origin(std::string_view origin, std::string_view host);

}  // namespace slora
