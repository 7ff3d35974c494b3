#pragma once
#include <string>
#include <string_view>

#include "base/result.h"

namespace slora {

// A server that is reached by HTTP.
struct CollectorUrl {
  std::string host, port, path;
};

// "http://HOST[:PORT][/PATH]", with OTLP's port and path where there are none. Errors are "bad_option".
[[nodiscard]] Result<CollectorUrl> parse_collector_url(const std::string& url);

// "http://HOST[:PORT][/PATH]" of any option, with these where there are none.
[[nodiscard]] Result<CollectorUrl> parse_http_url(std::string_view option, const std::string& url, const std::string& port,
                                                  const std::string& path);
// "HOST:PORT", as a request's head has it.
[[nodiscard]] std::string authority_of(const CollectorUrl& url);

}  // namespace slora
