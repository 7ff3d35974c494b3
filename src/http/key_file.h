#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/api_keys.h"

namespace slora {

// Numbers for the tenants of a key file, which keep theirs when the file is read again, and if they leave it and come back: a number is
// never another tenant's. Owned by one thread.
class TenantNumbers {
 public:
  // `first`: of the first tenant.
  explicit TenantNumbers(TenantId first) : next_(first) {}
  TenantId number_of(const std::string& tenant);

 private:
  TenantId next_;
  std::map<std::string, TenantId> known_;
};

// The quotas of the keys of a key file. When the file is read again, a key whose quota has not changed keeps what it has left. Owned by one
// thread; the quotas are used on another.
class KeyQuotas {
 public:
  // Requires: tokens_per_minute is positive.
  [[nodiscard]] std::shared_ptr<TokenQuota> quota_of(const Sha256Digest& key, std::uint64_t tokens_per_minute);
  // Forgets those that nobody has any more.
  void tidy();

 private:
  std::map<Sha256Digest, std::weak_ptr<TokenQuota>> known_;
};

// Keys from the text of a key file:
//   {"keys": [{"tenant": "acme", "key_sha256": "64 hexadecimal digits", "role": "user", "models": ["base", "acme/*"],
//              "tokens_per_minute": 60000}]}
// `role` is "user" (when absent) or "admin", whose tenant is the operator; `models` names what the key may use, everything when absent;
// `tokens_per_minute` is the key's quota, absent: none. All keys of one tenant share its cached prefixes and its share of the server.
// "bad_key_file", naming the entry.
[[nodiscard]] Result<std::vector<ApiKey>> parse_key_file(std::string_view text, TenantNumbers& tenants, KeyQuotas& quotas);

}  // namespace slora
