#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/model_access.h"
#include "api/token_quota.h"
#include "base/ids.h"
#include "base/result.h"
#include "formats/sha256.h"

namespace slora {

// Who may use a route: whoever looks whether the server works, anybody, the holder of a key, or the operator. `health` differs from `open`
// on servers without keys only, which check where other requests come from.
enum class Role : std::uint8_t { health, open, user, admin };

[[nodiscard]] constexpr bool needs_key(Role role) { return role == Role::user || role == Role::admin; }

// Whom a request comes from.
struct Caller {
  TenantId tenant;
  std::shared_ptr<const ModelAccess> access;  // never null; shared by a key and the requests that it admitted
  std::shared_ptr<TokenQuota> quota{};        // the same; null: none
};

// One key as its digest: the key itself is not kept.
struct ApiKey {
  Sha256Digest digest;
  Role role = Role::user;  // not `open`
  Caller caller;
};

[[nodiscard]] Sha256Digest digest_of_key(std::string_view key);

// Whether requests need a key where their route is not open.
enum class KeyNeed : std::uint8_t { none, needed };

// The keys of a server. Without any need of them the server is bound to loopback and everybody is the operator. Constant after
// construction; any thread.
class ApiKeys {
 public:
  ApiKeys(KeyNeed need, std::vector<ApiKey> keys);

  // Whom this Authorization header belongs to; "invalid_api_key", or "not_permitted" when the route needs another key. On open routes, for
  // admin keys, and where no key is needed the tenant is the operator.
  [[nodiscard]] Result<Caller> admit(Role role, std::string_view authorization) const;
  [[nodiscard]] KeyNeed need() const { return need_; }

 private:
  KeyNeed need_;
  std::vector<ApiKey> keys_;  // by digest; of one key's several entries the operator's first
};

// Those of `--api-key`, tenants 1, 2, ... in the order they were given, and of `--admin-api-key`.
[[nodiscard]] std::vector<ApiKey> keys_of_options(std::span<const std::string> user_keys, std::span<const std::string> admin_keys);

// Whether requests to this address can come from other machines.
[[nodiscard]] bool is_loopback_host(std::string_view host);

}  // namespace slora
