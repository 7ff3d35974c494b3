#pragma once
#include <map>
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

// Keys from the text of a key file:
//   {"keys": [{"tenant": "acme", "key_sha256": "64 hexadecimal digits", "role": "user", "models": ["base", "acme/*"]}]}
// `role` is "user" (when absent) or "admin", whose tenant is the operator; `models` names what the key may use, everything when absent. All
// keys of one tenant share its cached prefixes and its share of the server. "bad_key_file", naming the entry.
[[nodiscard]] Result<std::vector<ApiKey>> parse_key_file(std::string_view text, TenantNumbers& tenants);

}  // namespace slora
