#include "traces/collector_url.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace slora {

namespace {

// The URL as an error may show it: without a user and password.
std::string shown_url(const std::string& url) {
  const std::size_t at = url.rfind('@'), scheme_end = url.find("://");
  if (at == std::string::npos) return url;
  return (scheme_end < at ? url.substr(0, scheme_end + 3) : std::string()) + "..." + url.substr(at);
}

bool is_port(const std::string& text) {
  std::uint16_t port = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
  return failure == std::errc() && end == text.data() + text.size() && port > 0;
}

}  // namespace

std::string authority_of(const CollectorUrl& url) {
  const bool is_ipv6 = url.host.find(':') != std::string::npos;
  return (is_ipv6 ? "[" + url.host + "]" : url.host) + ":" + url.port;
}

Result<CollectorUrl> parse_collector_url(const std::string& url) {
  if (url.starts_with("grpc")) {
    return error(
        "bad_option",
        "--otlp-traces-endpoint: expected http://HOST:4318/v1/traces: spans go by HTTP, which collectors take at port 4318, found {}",
        shown_url(url));
  }
  return parse_http_url("--otlp-traces-endpoint", url, "4318", "/v1/traces");
}

Result<CollectorUrl> parse_http_url(std::string_view option, const std::string& url, const std::string& port, const std::string& path) {
  constexpr std::string_view scheme = "http://";
  const auto refuse = [&](std::string_view expected) {
    return error("bad_option", "{}: expected {}, found {}", option, expected, shown_url(url));
  };
  if (url.starts_with("https://")) return refuse("http://: there is no TLS, so name a program on this machine, which may have it");
  if (!url.starts_with(scheme)) return refuse("http://HOST:PORT/PATH");
  // What stands in the request's head must not be able to end it.
  const bool is_clean = std::ranges::all_of(url, [](char c) { return c > ' ' && c < 0x7f; });
  if (!is_clean) return refuse("printable ASCII characters without spaces");
  const std::string rest = url.substr(scheme.size());
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string authority = rest.substr(0, slash);
  CollectorUrl made{{}, port, slash == rest.size() ? path : rest.substr(slash)};
  if (authority.find('@') != std::string::npos) return refuse("no user or password");
  const std::size_t bracket = authority.rfind(']');  // of an IPv6 address
  const std::size_t colon = authority.find(':', bracket == std::string::npos ? 0 : bracket);
  if (colon != std::string::npos) {
    made.port = authority.substr(colon + 1);
    authority.resize(colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']')) authority = authority.substr(1, authority.size() - 2);
  made.host = authority;
  if (made.host.empty() || !is_port(made.port)) return refuse("http://HOST:PORT/PATH with a port of 1 to 65535");
  return made;
}

}  // namespace slora
