#include "server/api_keys.h"

#include <openssl/crypto.h>

#include <algorithm>

namespace slora {
namespace {

Sha256Digest digest_of(std::string_view key) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(key)));
  return hash.finish();
}

}  // namespace

ApiKeys::ApiKeys(std::span<const std::string> user_keys) {
  for (const std::string& key : user_keys) user_digests_.push_back(digest_of(key));
}

std::optional<TenantId> ApiKeys::admit(Role role, std::string_view authorization) const {
  if (role == Role::open || user_digests_.empty()) return TenantId{0};
  constexpr std::string_view scheme = "bearer ";
  const auto equal = [](char given, char lower) { return given == lower || (given >= 'A' && given <= 'Z' && given - 'A' + 'a' == lower); };
  const std::string_view given = authorization.substr(0, scheme.size());
  if (!std::ranges::equal(given, scheme, equal)) return std::nullopt;
  const Sha256Digest digest = digest_of(authorization.substr(scheme.size()));
  std::uint32_t tenant = 0;
  for (std::uint32_t i = 0; i < user_digests_.size(); ++i) {
    if (CRYPTO_memcmp(digest.data(), user_digests_[i].data(), digest.size()) == 0) tenant = i + 1;
  }
  if (role != Role::user || tenant == 0) return std::nullopt;
  return TenantId{tenant};
}

bool is_loopback_host(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace slora
