#include "http/cors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "http/api_keys.h"
#include "http/head.h"

namespace slora {
namespace {

constexpr std::string_view kAllMethods = "GET, HEAD, POST, OPTIONS";
// A page may send these whatever is allowed.
constexpr std::array<std::string_view, 4> kSafeHeaders = {"Accept", "Accept-Language", "Content-Language", "Content-Type"};
constexpr std::string_view kReadableHeaders = "x-request-id, Retry-After";
constexpr std::string_view kPreflightSeconds = "600";  // that a browser may remember it

bool has(const std::vector<std::string>& list, std::string_view value) { return std::ranges::find(list, value) != list.end(); }

bool has_ignoring_case(const std::vector<std::string>& list, std::string_view value) {
  return std::ranges::any_of(list, [&](const std::string& each) { return equal_ignoring_case(each, value); });
}

std::string joined_list(const std::vector<std::string>& list) { return fmt::format("{}", fmt::join(list, ", ")); }

// "[::1]:8000" as "::1".
std::string_view name_of_host(std::string_view header) {
  if (header.starts_with('[')) return header.substr(1, header.find(']') - 1);
  return header.substr(0, header.find(':'));
}

// "scheme://host[:port]", as browsers send it.
bool is_origin(std::string_view text) {
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0 || colon + 3 == text.size()) return false;
  const auto is_plain = [](char c) { return c > 0x20 && c < 0x7f && std::string_view("/*?#,\"\\").find(c) == std::string_view::npos; };
  return std::ranges::all_of(text.substr(0, colon), is_plain) && std::ranges::all_of(text.substr(colon + 3), is_plain);
}

}  // namespace

Status Cors::check(const CorsOptions& options) {
  for (const std::string& origin : options.origins) {
    if (origin == "*" || origin == "null" || is_origin(origin)) continue;
    return error("bad_origin",
                 "--allowed-origins: expected \"*\" or an origin such as https://app.example.org, without a path, found \"{}\"", origin);
  }
  return {};
}

Cors::Cors(CorsOptions options) : options_(std::move(options)), allows_all_(has(options_.origins, "*")) {}

bool Cors::names(std::string_view origin) const { return origin != "*" && has_ignoring_case(options_.origins, origin); }

bool Cors::names_host(std::string_view host) const {
  return std::ranges::any_of(options_.origins, [&](const std::string& origin) { return is_same_origin(origin, host); });
}

HttpHeaders Cors::answer_headers(std::string_view origin) const {
  if (!is_on()) return {};
  const bool is_for_all = allows_all_ && !options_.allow_credentials;
  HttpHeaders headers;
  if (!is_for_all) headers.emplace_back("Vary", "Origin");
  if (origin.empty() || !allows(origin)) return headers;
  headers.emplace_back("Access-Control-Allow-Origin", is_for_all ? "*" : origin);
  if (options_.allow_credentials) headers.emplace_back("Access-Control-Allow-Credentials", "true");
  headers.emplace_back("Access-Control-Expose-Headers", kReadableHeaders);
  return headers;
}

Result<HttpHeaders> Cors::preflight_headers(const Preflight& asked) const {
  const auto refuse = [](std::string_view what, std::string_view option) {
    return error("not_permitted", "Web pages may not use this server so: the {} is not among those of {}.", what, option);
  };
  if (!allows(asked.origin)) return refuse("page's origin", "--allowed-origins");
  const bool any_method = has(options_.methods, "*");
  if (!any_method && !has(options_.methods, asked.method)) return refuse("method", "--allowed-methods");
  const bool any_header = has(options_.headers, "*");
  for (std::string_view rest = asked.headers; !rest.empty() && !any_header;) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    std::string_view name = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    const bool is_safe = std::ranges::any_of(kSafeHeaders, [&](std::string_view safe) { return equal_ignoring_case(safe, name); });
    if (!is_safe && !has_ignoring_case(options_.headers, name)) return refuse("header " + std::string(name), "--allowed-headers");
  }

  HttpHeaders headers = answer_headers(asked.origin);
  headers.emplace_back("Access-Control-Allow-Methods", any_method ? kAllMethods : joined_list(options_.methods));
  const std::string named = any_header ? std::string(asked.headers) : joined_list(options_.headers);
  if (!named.empty()) headers.emplace_back("Access-Control-Allow-Headers", named);
  if (asked.to_private_network) headers.emplace_back("Access-Control-Allow-Private-Network", "true");
  headers.emplace_back("Access-Control-Max-Age", kPreflightSeconds);
  return headers;
}

Status check_host(std::string_view host, const Cors& cors) {
  if (host.empty() || is_loopback_host(name_of_host(host)) || cors.names_host(host)) return {};
  return error(
      "not_permitted",
      "Without --api-key, this server answers requests to localhost, and the Host header of this one names another machine. Behind "
      "a proxy, let that send \"Host: localhost\", or name its origin with --allowed-origins.");
}

bool is_same_origin(std::string_view origin, std::string_view host) {
  const std::size_t colon = origin.find("://");
  return colon != std::string_view::npos && equal_ignoring_case(origin.substr(colon + 3), host);
}

}  // namespace slora
