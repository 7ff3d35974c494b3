#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/sha256.h"

namespace slora {

// What a caller must be to use a route: anybody, the holder of a key, or the operator.
enum class Role : std::uint8_t { open, user, admin };

// The keys that `--api-key` gave. Without any, the server is bound to loopback and everybody is the operator. Holds digests, not
// keys. Constant after construction; any thread.
class ApiKeys {
 public:
  explicit ApiKeys(std::span<const std::string> user_keys);

  // Whether the bearer of this Authorization header may use a route of `role`. Takes the same time whichever key is compared.
  [[nodiscard]] bool allow(Role role, std::string_view authorization) const;

 private:
  std::vector<Sha256Digest> user_digests_;
};

// Whether requests to this address can come from other machines.
[[nodiscard]] bool is_loopback_host(std::string_view host);

}  // namespace slora
