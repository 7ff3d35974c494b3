#include "server/api_keys.h"

#include <openssl/crypto.h>

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

bool ApiKeys::allow(Role role, std::string_view authorization) const {
  if (role == Role::open || user_digests_.empty()) return true;
  constexpr std::string_view scheme = "Bearer ";
  if (!authorization.starts_with(scheme)) return false;
  const Sha256Digest digest = digest_of(authorization.substr(scheme.size()));
  int match_count = 0;
  for (const Sha256Digest& known : user_digests_) match_count += CRYPTO_memcmp(digest.data(), known.data(), digest.size()) == 0 ? 1 : 0;
  return role == Role::user && match_count > 0;
}

bool is_loopback_host(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace slora
