#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/sha256.h"

namespace slora {

// What a caller must be to use a route: anybody, the holder of a key, or the operator.
enum class Role : std::uint8_t { open, user, admin };

// The keys that `--api-key` and `--admin-api-key` gave. Without any, the server is bound to loopback and everybody is the operator. Holds
// digests, not keys. Constant after construction; any thread.
class ApiKeys {
 public:
  ApiKeys(std::span<const std::string> user_keys, std::span<const std::string> admin_keys);

  // Who the bearer of this Authorization header is; "invalid_api_key", or "not_permitted" when a route is not for this key. Users' keys
  // are tenants from 1 on, in the order they were given; open routes, the operator's keys and a server without keys know only the
  // operator. Takes the same time whichever key matches. Without keys, the operator's routes are for requests whose Host header names this
  // machine: a page whose name was made to mean 127.0.0.1 has another.
  [[nodiscard]] Result<TenantId> admit(Role role, std::string_view authorization, std::string_view host_header) const;

 private:
  std::vector<Sha256Digest> user_digests_, admin_digests_;
};

// Whether requests to this address can come from other machines.
[[nodiscard]] bool is_loopback_host(std::string_view host);

}  // namespace slora
