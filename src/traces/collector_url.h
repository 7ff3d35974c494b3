#pragma once
#include <string>

#include "base/result.h"

namespace slora {

// Where spans go, by HTTP.
struct CollectorUrl {
  std::string host, port, path;
};

// "http://HOST[:PORT][/PATH]", with OTLP's port and path where there are none. Errors are "bad_option".
[[nodiscard]] Result<CollectorUrl> parse_collector_url(const std::string& url);

}  // namespace slora
