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

// Who may use a route: anybody, the holder of a key, or the operator.
enum class Role : std::uint8_t { open, user, admin };

// The keys that `--api-key` and `--admin-api-key` gave. Without any, the server is bound to loopback and everybody is the operator. Holds
// digests, not keys. Constant after construction; any thread.
class ApiKeys {
 public:
  ApiKeys(std::span<const std::string> user_keys, std::span<const std::string> admin_keys);

  // The tenant that this Authorization header belongs to; "invalid_api_key", or "not_permitted" when the route needs another key. User keys
  // are tenants 1, 2, ... in the order they were given; on open routes, for admin keys, and without any keys the tenant is the operator.
  // Takes constant time whichever key matches. Without keys, admin routes require a Host header that names this machine, which defends
  // against DNS rebinding.
  [[nodiscard]] Result<TenantId> admit(Role role, std::string_view authorization, std::string_view host_header) const;

 private:
  std::vector<Sha256Digest> user_digests_, admin_digests_;
};

// Whether requests to this address can come from other machines.
[[nodiscard]] bool is_loopback_host(std::string_view host);

}  // namespace slora
