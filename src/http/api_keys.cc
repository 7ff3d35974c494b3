#include "http/api_keys.h"

#include <algorithm>
#include <utility>

#include "http/head.h"

namespace slora {
namespace {

tl::unexpected<Error> refuse_unknown_key() {
  return error("invalid_api_key", "The key in the header Authorization is not one of this server's.");
}

tl::unexpected<Error> refuse_key() {
  return error("invalid_api_key", "This path needs a key of this server: send the header \"Authorization: Bearer KEY\".");
}

}  // namespace

Sha256Digest digest_of_key(std::string_view key) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(key)));
  return hash.finish();
}

ApiKeys::ApiKeys(KeyNeed need, std::vector<ApiKey> keys) : need_(need), keys_(std::move(keys)) {
  std::ranges::sort(keys_, [](const ApiKey& a, const ApiKey& b) {
    return a.digest != b.digest ? a.digest < b.digest : a.role == Role::admin && b.role != Role::admin;
  });
}

Result<Caller> ApiKeys::admit(Role role, std::string_view authorization) const {
  if (!needs_key(role) || need_ == KeyNeed::none) return Caller{TenantId{0}, std::make_shared<const ModelAccess>()};
  constexpr std::string_view scheme = "bearer ";
  const std::string_view given = authorization.substr(0, scheme.size());
  if (!equal_ignoring_case(given, scheme)) return refuse_key();
  // How long the search takes depends on digests only, from which nobody can derive a key.
  const Sha256Digest digest = digest_of_key(authorization.substr(scheme.size()));
  const auto found = std::ranges::lower_bound(keys_, digest, {}, &ApiKey::digest);
  if (found == keys_.end() || found->digest != digest) return refuse_unknown_key();
  if (role == Role::user || found->role == Role::admin) return found->caller;
  return error(
      "not_permitted",
      "This path is for the operator: it needs one of the server's admin keys (--admin-api-key, or role admin in --api-key-file).");
}

std::vector<ApiKey> keys_of_options(std::span<const std::string> user_keys, std::span<const std::string> admin_keys) {
  const auto access = std::make_shared<const ModelAccess>();  // shared as in Caller
  std::vector<ApiKey> keys;
  for (const std::string& key : user_keys) {
    const TenantId tenant{static_cast<std::uint32_t>(keys.size() + 1)};
    keys.push_back({digest_of_key(key), Role::user, {tenant, access}});
  }
  for (const std::string& key : admin_keys) keys.push_back({digest_of_key(key), Role::admin, {TenantId{0}, access}});
  return keys;
}

bool is_loopback_host(std::string_view host) {
  return equal_ignoring_case(host, "localhost") || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace slora
