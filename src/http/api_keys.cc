#include "http/api_keys.h"

#include <openssl/crypto.h>

#include <algorithm>

namespace slora {
namespace {

Sha256Digest digest_of(std::string_view key) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(key)));
  return hash.finish();
}

std::vector<Sha256Digest> digests_of(std::span<const std::string> keys) {
  std::vector<Sha256Digest> digests;
  for (const std::string& key : keys) digests.push_back(digest_of(key));
  return digests;
}

// One more than the index of `digest`, 0 when it is not there.
std::uint32_t place_of(const Sha256Digest& digest, const std::vector<Sha256Digest>& known) {
  std::uint32_t place = 0;
  for (std::uint32_t i = 0; i < known.size(); ++i) {
    if (CRYPTO_memcmp(digest.data(), known[i].data(), digest.size()) == 0) place = i + 1;
  }
  return place;
}

tl::unexpected<Error> refuse_key() {
  return error("invalid_api_key", "This path needs a key of this server: send the header \"Authorization: Bearer KEY\".");
}

// "[::1]:8000" as "::1".
std::string_view name_of_host(std::string_view header) {
  if (header.starts_with('[')) return header.substr(1, header.find(']') - 1);
  return header.substr(0, header.find(':'));
}

}  // namespace

ApiKeys::ApiKeys(std::span<const std::string> user_keys, std::span<const std::string> admin_keys)
    : user_digests_(digests_of(user_keys)), admin_digests_(digests_of(admin_keys)) {}

Result<TenantId> ApiKeys::admit(Role role, std::string_view authorization, std::string_view host_header) const {
  const bool has_keys = !user_digests_.empty() || !admin_digests_.empty();
  if (!has_keys && role == Role::admin && !host_header.empty() && !is_loopback_host(name_of_host(host_header))) {
    return error("not_permitted", "Without --admin-api-key, this path is for requests to localhost; this one is for another host.");
  }
  if (role == Role::open || !has_keys) return TenantId{0};
  constexpr std::string_view scheme = "bearer ";
  const auto equal = [](char given, char lower) { return given == lower || (given >= 'A' && given <= 'Z' && given - 'A' + 'a' == lower); };
  const std::string_view given = authorization.substr(0, scheme.size());
  if (!std::ranges::equal(given, scheme, equal)) return refuse_key();
  const Sha256Digest digest = digest_of(authorization.substr(scheme.size()));
  const std::uint32_t tenant = place_of(digest, user_digests_);
  const bool is_operator = place_of(digest, admin_digests_) != 0;
  if (is_operator) return TenantId{0};
  if (tenant == 0) return refuse_key();
  if (role == Role::user) return TenantId{tenant};
  return error("not_permitted", "This path is for the operator: it needs a key that the server was given as --admin-api-key.");
}

bool is_loopback_host(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace slora
