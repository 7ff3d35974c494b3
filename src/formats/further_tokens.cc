#include "formats/further_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace slora {
namespace {

constexpr std::array<std::string_view, 7> kUsualNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                         "pad_token", "cls_token", "mask_token"};
constexpr std::size_t kTokensMax = std::size_t{1} << 16;  // of one file

tl::unexpected<Error> in_token_file(std::string_view name, const Error& why) { return error(why.code, "{}: {}", name, why.message); }

AddedToken special_token(std::string content) { return {.content = std::move(content), .special = true}; }

// A token as files write it: its text, or an object that describes it.
Result<AddedToken> token_of(std::string_view key, const Json& value) {
  if (value.is_string()) return special_token(value.get<std::string>());
  const bool is_described = value.is_object() && find_member(value, "content") != nullptr;
  if (!is_described) return error("E_BAD_JSON", "\"{}\": expected a string or an object with \"content\", found {}", key, shown(value));
  return parse_added_token(value);
}

// All tokens of special_tokens_map.json are special, whatever they say.
Json as_special(Json value) {
  if (value.is_array()) {
    for (Json& entry : value) entry = as_special(std::move(entry));
  } else if (value.is_object() && value.contains("content")) {
    value["special"] = true;
  }
  return value;
}

// The tokens of one folder while its files are read, the later over the earlier ones.
class TokenReader {
 public:
  explicit TokenReader(const Json& tokenizer) : tokenizer_(tokenizer) {}

  Status read_config(const Json& config) {
    for (const auto& [key, value] : config.items()) {
      if (!is_name(key) || value.is_null()) continue;
      if (!is_usual(key) && !value.is_string() && !value.is_object()) continue;  // "add_bos_token" is a flag
      if (Status named = set_named(key, value); !named) return named;
    }
    const Json* extra = find_member(config, "extra_special_tokens");
    has_extra_ = extra != nullptr && !is_off(*extra);
    const std::string_view key = has_extra_ ? "extra_special_tokens" : "additional_special_tokens";
    if (!has_extra_) extra = find_member(config, key);
    if (extra != nullptr) {
      has_extra_ = true;
      if (Status read = read_extra(extra_, key, *extra); !read) return read;
    }
    has_extra_ |= config.contains("extra_special_tokens");
    const Json* decoder = find_member(config, "added_tokens_decoder");
    if (decoder == nullptr) return {};
    has_decoder_ = true;
    return read_decoder(*decoder);
  }

  // Whether the config lists the added tokens: then the older files are not read.
  [[nodiscard]] bool has_decoder() const { return has_decoder_; }

  Status read_special_tokens_map(const Json& map) {
    for (const auto& [key, value] : map.items()) {
      if (key == "extra_special_tokens" || (key == "additional_special_tokens" && !has_extra_)) {
        if (value.is_null()) continue;
        if (Status read = read_extra(key == "extra_special_tokens" ? extra_ : older_extra_, key, as_special(value)); !read) return read;
      } else if (is_name(key)) {
        if (value.is_null()) {
          named_.erase(key);
        } else if (Status named = set_named(key, as_special(value)); !named) {
          return named;
        }
      }
    }
    return {};
  }

  Status read_added_tokens(const Json& tokens) {
    if (tokens.size() > kTokensMax) return too_many(tokens.size());
    std::unordered_set<std::string> special;
    for (const auto& [name, token] : named_) {
      if (is_usual(name)) special.insert(token.content);
    }
    for (const AddedToken& token : extra_) special.insert(token.content);
    for (const auto& [content, id] : tokens.items()) {
      if (!id.is_number_integer()) return error("E_BAD_JSON", "the id of {}: expected an integer, found {}", quote(content), shown(id));
      const bool is_special = special.contains(content);
      decoder_.insert_or_assign(id.get<std::int64_t>(), AddedToken{.content = content, .normalized = !is_special, .special = is_special});
    }
    return {};
  }

  [[nodiscard]] Result<FurtherTokens> finish() {
    if (Status known = read_known(); !known) return forward_error(known);
    FurtherTokens result;
    const std::unordered_set<std::string> named = named_contents();
    std::unordered_set<std::string> contents;
    for (const auto& [content, token] : known_) contents.insert(content);
    for (auto& [id, token] : decoder_) {
      const auto known = known_.find(token.content);
      if (known != known_.end() && known->second == token) continue;
      token.special |= named.contains(token.content);
      contents.insert(token.content);
      result.added.push_back(token);
    }
    for (const std::string& name : names_in_order()) {
      AddedToken token = named_.at(name);
      token.special = true;
      result.named.emplace_back(name, token.content);
      if (contents.insert(token.content).second) result.added.push_back(std::move(token));
    }
    extra_.insert(extra_.end(), older_extra_.begin(), older_extra_.end());
    for (const AddedToken& token : extra_) {
      if (contents.insert(token.content).second) result.added.push_back(token);
    }
    return result;
  }

 private:
  static bool is_name(std::string_view key) { return key.ends_with("_token"); }
  static tl::unexpected<Error> too_many(std::size_t count) {
    return error("E_TOO_LARGE", "expected at most {} tokens, found {}", kTokensMax, count);
  }

  Status set_named(const std::string& name, const Json& value) {
    Result<AddedToken> token = token_of(name, value);
    if (!token) return forward_error(token);
    if (named_.size() >= kTokensMax) return too_many(named_.size() + 1);
    if (!named_.contains(name) && !is_usual(name)) own_names_.push_back(name);
    named_.insert_or_assign(name, std::move(*token));
    return {};
  }

  // A list of tokens, or an object of named ones.
  Status read_extra(std::vector<AddedToken>& extra, std::string_view key, const Json& value) {
    if (!value.is_array() && !value.is_object()) {
      return error("E_BAD_JSON", "\"{}\": expected a list of tokens or an object of named ones, found {}", key, shown(value));
    }
    if (value.size() > kTokensMax) return too_many(value.size());
    if (value.is_object()) {
      for (const auto& [name, token] : value.items()) {
        if (Status named = set_named(name, token); !named) return named;
      }
      return {};
    }
    for (const Json& entry : value) {
      Result<AddedToken> token = token_of(key, entry);
      if (!token) return forward_error(token);
      extra.push_back(std::move(*token));
    }
    return {};
  }

  Status read_decoder(const Json& decoder) {
    if (!decoder.is_object()) return error("E_BAD_JSON", "\"added_tokens_decoder\": expected an object, found {}", type_name(decoder));
    if (decoder.size() > kTokensMax) return too_many(decoder.size());
    for (const auto& [key, value] : decoder.items()) {
      std::int64_t id = 0;
      const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (failure != std::errc() || end != key.data() + key.size()) {
        return error("E_BAD_JSON", "\"added_tokens_decoder\": expected token ids as keys, found {}", quote(key));
      }
      Result<AddedToken> token = parse_added_token(value);
      if (!token) return error(token.error().code, "\"added_tokens_decoder\": {}: {}", id, token.error().message);
      decoder_.insert_or_assign(id, std::move(*token));
    }
    return {};
  }

  // The tokens of tokenizer.json, which win over those of added_tokens.json.
  Status read_known() {
    const Json* entries = find_member(tokenizer_, "added_tokens");
    if (entries == nullptr || !entries->is_array()) return {};  // text/added_tokens refuses other forms
    for (const Json& entry : *entries) {
      Result<AddedToken> token = parse_added_token(entry);
      if (!token) return in_token_file("tokenizer.json: added_tokens", token.error());
      if (!has_decoder_) {
        const Json* id = find_member(entry, "id");
        if (id != nullptr && id->is_number_integer()) decoder_.insert_or_assign(id->get<std::int64_t>(), *token);
      }
      known_.insert_or_assign(token->content, *token);
    }
    return {};
  }

  [[nodiscard]] std::unordered_set<std::string> named_contents() const {
    std::unordered_set<std::string> contents;
    for (const auto& [name, token] : named_) contents.insert(token.content);
    return contents;
  }
  static bool is_usual(std::string_view name) { return std::ranges::find(kUsualNames, name) != kUsualNames.end(); }
  [[nodiscard]] std::vector<std::string> names_in_order() const {
    std::vector<std::string> names;
    for (const std::string_view name : kUsualNames) {
      if (named_.contains(std::string(name))) names.emplace_back(name);
    }
    for (const std::string& name : own_names_) {
      if (named_.contains(name)) names.push_back(name);
    }
    return names;
  }

  const Json& tokenizer_;
  std::map<std::string, AddedToken> named_;  // by name
  std::vector<std::string> own_names_;       // of the model's own, in the order of the files
  std::vector<AddedToken> extra_;
  std::vector<AddedToken> older_extra_;                // of special_tokens_map.json, where the config has none
  std::map<std::int64_t, AddedToken> decoder_;         // by id
  std::unordered_map<std::string, AddedToken> known_;  // of tokenizer.json, by content
  bool has_extra_ = false, has_decoder_ = false;
};

}  // namespace

Result<AddedToken> parse_added_token(const Json& object) {
  if (!object.is_object()) return error("E_BAD_JSON", "expected an object that describes a token, found {}", type_name(object));
  Result<std::string> content = string_at(object, "content");
  if (!content) return forward_error(content);
  AddedToken token{.content = std::move(*content)};
  std::optional<bool> normalized;
  for (const auto& [key, flag] : {std::pair("single_word", &token.single_word), std::pair("lstrip", &token.lstrip),
                                  std::pair("rstrip", &token.rstrip), std::pair("special", &token.special)}) {
    Result<std::optional<bool>> found = optional_bool_at(object, key);
    if (!found) return forward_error(found);
    *flag = found->value_or(false);
  }
  Result<std::optional<bool>> normalized_there = optional_bool_at(object, "normalized");
  if (!normalized_there) return forward_error(normalized_there);
  token.normalized = normalized_there->value_or(!token.special);
  return token;
}

Result<FurtherTokens> read_further_tokens(const TokenSources& sources) {
  TokenReader reader(sources.tokenizer);
  if (Status read = reader.read_config(sources.tokenizer_config); !read) return in_token_file("tokenizer_config.json", read.error());
  if (!reader.has_decoder()) {
    if (Status read = reader.read_special_tokens_map(sources.special_tokens_map); !read)
      return in_token_file("special_tokens_map.json", read.error());
    if (Status read = reader.read_added_tokens(sources.added_tokens); !read) return in_token_file("added_tokens.json", read.error());
  }
  return reader.finish();
}

}  // namespace slora
