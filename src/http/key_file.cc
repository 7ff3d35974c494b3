#include "http/key_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "formats/json.h"

namespace slora {
namespace {

constexpr std::size_t kKeysMax = 10'000;
constexpr std::uint64_t kTokensPerMinuteMax = 1'000'000'000'000;

tl::unexpected<Error> refuse_entry(std::size_t index, std::string_view what) { return error("bad_key_file", "keys[{}]{}", index, what); }

std::optional<Sha256Digest> digest_of_hex(std::string_view text) {
  Sha256Digest digest{};
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    unsigned value = 0;
    const char* begin = text.data() + 2 * i;
    const auto [end, failed] = std::from_chars(begin, begin + 2, value, 16);
    if (failed != std::errc() || end != begin + 2) return std::nullopt;
    digest[i] = static_cast<std::byte>(value);
  }
  return digest;
}

Result<std::vector<std::string>> read_patterns(std::size_t index, const Json& models) {
  if (!models.is_array()) {
    return refuse_entry(index, fmt::format(".models: expected a list of names and prefixes, found {}", type_name(models)));
  }
  std::vector<std::string> patterns;
  for (const Json& model : models) {
    if (!model.is_string() || !ModelAccess::is_pattern(model.get_ref<const std::string&>())) {
      return refuse_entry(index, fmt::format(".models: expected names, or prefixes that end in one '*', found {}", shown(model)));
    }
    patterns.push_back(model.get<std::string>());
  }
  return patterns;
}

Status check_members(std::size_t index, const Json& entry) {
  constexpr std::array<std::string_view, 5> known = {"tenant", "key_sha256", "role", "models", "tokens_per_minute"};
  if (!entry.is_object()) return refuse_entry(index, fmt::format(": expected an object, found {}", type_name(entry)));
  for (const auto& [name, value] : entry.items()) {
    if (std::ranges::find(known, name) != known.end()) continue;
    return refuse_entry(index, fmt::format(": expected tenant, key_sha256, role, models and tokens_per_minute, found {}", quote(name)));
  }
  return {};
}

Result<ApiKey> read_entry(std::size_t index, const Json& entry, TenantNumbers& tenants, KeyQuotas& quotas) {
  if (Status members = check_members(index, entry); !members) return forward_error(members);
  const auto text_of = [&](const char* name) {
    const Json* member = find_member(entry, name);
    return member != nullptr && member->is_string() ? member->get<std::string>() : std::string();
  };
  const std::optional<Sha256Digest> digest = digest_of_hex(text_of("key_sha256"));
  // Its value is not shown: it might be a key that was written there by mistake.
  if (!digest) return refuse_entry(index, ".key_sha256: expected the key's SHA-256 as 64 hexadecimal digits");

  ApiKey key{.digest = *digest, .role = Role::user, .caller = {}};
  if (const Json* role = find_member(entry, "role"); role != nullptr && *role != "user") {
    if (*role != "admin") return refuse_entry(index, fmt::format(".role: expected \"user\" or \"admin\", found {}", shown(*role)));
    key.role = Role::admin;
  }
  const std::string tenant = text_of("tenant");
  if (tenant.empty() && key.role == Role::user) return refuse_entry(index, ".tenant: expected a name");
  if (key.role == Role::user) key.caller.tenant = tenants.number_of(tenant);
  if (const Json* quota = find_member(entry, "tokens_per_minute"); quota != nullptr) {
    const std::uint64_t tokens = quota->is_number_unsigned() ? quota->get<std::uint64_t>() : 0;
    if (tokens == 0 || tokens > kTokensPerMinuteMax || key.role == Role::admin) {
      return refuse_entry(index, fmt::format(".tokens_per_minute: expected an integer from 1 to {}, for a key of role user, found {}",
                                             kTokensPerMinuteMax, shown(*quota)));
    }
    key.caller.quota = quotas.quota_of(key.digest, tokens);
  }
  const Json* models = find_member(entry, "models");
  if (models == nullptr) {
    key.caller.access = std::make_shared<const ModelAccess>();
    return key;
  }
  Result<std::vector<std::string>> patterns = read_patterns(index, *models);
  if (!patterns) return forward_error(patterns);
  key.caller.access = std::make_shared<const ModelAccess>(std::move(*patterns));
  return key;
}

}  // namespace

TenantId TenantNumbers::number_of(const std::string& tenant) {
  const auto [at, is_new] = known_.try_emplace(tenant, next_);
  if (is_new) ++next_.value;
  return at->second;
}

std::shared_ptr<TokenQuota> KeyQuotas::quota_of(const Sha256Digest& key, std::uint64_t tokens_per_minute) {
  std::weak_ptr<TokenQuota>& known = known_[key];
  if (std::shared_ptr<TokenQuota> quota = known.lock(); quota && quota->tokens_per_minute() == tokens_per_minute) return quota;
  auto quota = std::make_shared<TokenQuota>(tokens_per_minute);
  known = quota;
  return quota;
}

void KeyQuotas::tidy() {
  std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
}

Result<std::vector<ApiKey>> parse_key_file(std::string_view text, TenantNumbers& tenants, KeyQuotas& quotas) {
  const Result<Json> file = parse_json(text);
  if (!file) return error("bad_key_file", "{}", file.error().message);
  const Json* entries = file->is_object() ? find_member(*file, "keys") : nullptr;
  if (entries == nullptr || !entries->is_array() || file->size() != 1) {
    return error("bad_key_file", R"(expected an object with one member, "keys", a list)");
  }
  if (entries->size() > kKeysMax) return error("bad_key_file", "keys: expected at most {}, found {}", kKeysMax, entries->size());
  std::vector<ApiKey> keys;
  for (std::size_t i = 0; i < entries->size(); ++i) {
    Result<ApiKey> key = read_entry(i, (*entries)[i], tenants, quotas);
    if (!key) return forward_error(key);
    keys.push_back(std::move(*key));
  }
  return keys;
}

}  // namespace slora
