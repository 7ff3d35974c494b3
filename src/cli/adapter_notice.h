#pragma once
#include <string>

#include "base/result.h"
#include "traces/collector_url.h"

namespace slora {

// Has a running server load an adapter, in place of the one that it has under the name. Constant after construction; one thread.
class AdapterNotice {
 public:
  // `url`: "http://HOST:PORT", of a server that has /v1/load_lora_adapter; `api_key`: its operator's; empty: it needs none. "bad_option".
  [[nodiscard]] static Result<AdapterNotice> create(const std::string& url, const std::string& api_key, const std::string& name);

  // `folder`: absolute, beneath one from which the server takes adapters. E_LOAD with what the server or the connection says.
  [[nodiscard]] Status load(const std::string& folder) const;

 private:
  AdapterNotice(CollectorUrl server, std::string api_key, std::string name);

  const CollectorUrl server_;
  const std::string api_key_, name_;
};

}  // namespace slora
