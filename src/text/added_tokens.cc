#include "text/added_tokens.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "text/tokenizer_json.h"
#include "text/unicode.h"

namespace slora {
namespace {

constexpr std::size_t kContentBytesMax = 512;  // up to this much is compared at each position of a text

// Where the white space in front of `begin` starts, not before `covered`.
std::size_t begin_with_white_space(std::string_view text, std::size_t covered, std::size_t begin) {
  return begin < covered ? covered : begin - trailing_white_space(text.substr(covered, begin - covered));
}

bool is_inside_word(std::string_view before, std::string_view after) {
  return (!before.empty() && is_word(last_code_point(before).value)) || (!after.empty() && is_word(first_code_point(after).value));
}

}  // namespace

Result<AddedTokens> AddedTokens::from_json(const Json& tokenizer_json, const TokenizerSettings& settings, const Vocabulary& model,
                                           const Normalizer& normalizer) {
  AddedTokens added;
  Indices indices;
  if (Status read = added.read_list(indices, tokenizer_json, model); !read) return forward_error(read);
  for (const AddedToken& token : settings.added_tokens) {
    if (token.content.empty()) continue;
    if (token.content.size() > kContentBytesMax)
      return error("E_TOKENIZER", "added token {}: expected at most {} bytes, found {}", quote(token.content), kContentBytesMax,
                   token.content.size());
    if (Status status = added.add(indices, token, added.id_for(token, model)); !status) return forward_error(status);
  }
  if (Status built = added.build_tries(settings, normalizer); !built) return forward_error(built);
  return added;
}

Status AddedTokens::read_list(Indices& indices, const Json& tokenizer_json, const Vocabulary& model) {
  const Json* entries = find_member(tokenizer_json, "added_tokens");
  if (entries == nullptr) return {};
  if (!entries->is_array()) return error("E_TOKENIZER", "tokenizer.json: \"added_tokens\" must be a list");
  for (const Json& entry : *entries) {
    Result<AddedToken> token = read_token(entry);
    if (!token) return forward_error(token);
    if (token->content.empty()) continue;
    Result<std::int64_t> id_in_file = integer_at(entry, "id");
    if (!id_in_file) return forward_error(id_in_file);
    const TokenId id = id_for(*token, model);
    if (id != *id_in_file) {
      return error("E_TOKENIZER", "tokenizer.json: added token \"{}\" has id {}, expected {}", token->content, *id_in_file, id);
    }
    if (Status status = add(indices, std::move(*token), id); !status) return status;
  }
  return {};
}

Result<AddedToken> AddedTokens::read_token(const Json& entry) {
  if (!entry.is_object()) return error("E_TOKENIZER", "tokenizer.json: added_tokens: expected an object, found {}", type_name(entry));
  AddedToken token;
  Result<std::string> content = string_at(entry, "content");
  if (!content) return forward_error(content);
  if (content->size() > kContentBytesMax)
    return error("E_TOKENIZER", "tokenizer.json: added_tokens: expected at most {} bytes, found {}", kContentBytesMax, content->size());
  token.content = std::move(*content);
  for (const auto& [key, flag] :
       {std::pair("single_word", &token.single_word), std::pair("lstrip", &token.lstrip), std::pair("rstrip", &token.rstrip),
        std::pair("normalized", &token.normalized), std::pair("special", &token.special)}) {
    Result<bool> value = flag_at(entry, key, std::nullopt);
    if (!value) return forward_error(value);
    *flag = *value;
  }
  return token;
}

TokenId AddedTokens::id_for(const AddedToken& token, const Vocabulary& model) const {
  std::optional<TokenId> id = vocabulary_.find(token.content);
  if (!id) id = model.find(token.content);
  return id.value_or(static_cast<TokenId>(std::max(model.token_count(), vocabulary_.size())));
}

// As in `tokenizers`, a token that was special once stays one that decoding skips.
Status AddedTokens::add(Indices& indices, AddedToken token, TokenId id) {
  if (Status status = vocabulary_.add(token.content, id); !status) return status;
  if (token.special) special_.insert(token.content);
  const auto [at, is_new] = indices.try_emplace(token.content, tokens_.size());
  if (is_new) tokens_.emplace_back();
  tokens_[at->second] = {id, std::move(token)};
  return {};
}

Status AddedTokens::build_tries(const TokenizerSettings& settings, const Normalizer& normalizer) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i].form;
    const bool is_matched = !settings.split_special_tokens || !is_special(token.content);
    if (token.normalized) {
      Result<std::string> text = normalizer.apply(token.content);
      if (!text) return forward_error(text);
      if (is_matched) normalized_.add(*text, i);
      normalized_texts_.insert_or_assign(tokens_[i].id, std::move(*text));
    } else if (is_matched) {
      raw_.add(token.content, i);
    }
  }
  return {};
}

const std::string* AddedTokens::normalized_text(TokenId id) const {
  const auto text = normalized_texts_.find(id);
  return text == normalized_texts_.end() ? nullptr : &text->second;
}

// The steps and their order are those of `tokenizers`: a token that is rejected because it is inside a word hides others
// that overlap it, and white space taken by one token isn't given to the next.
std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text, const Trie& trie) const {
  std::vector<Part> parts;
  std::size_t covered = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::optional<Trie::Match> match = trie.find_longest_at(text.substr(at));
    if (!match) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[match->token_index].form;
    TextRange range{at, at + match->bytes};
    at = range.end;
    if (token.single_word && is_inside_word(text.substr(0, range.begin), text.substr(range.end))) continue;
    if (token.lstrip) range.begin = begin_with_white_space(text, covered, range.begin);
    // The white space that belongs to an earlier token's match is not scanned again.
    if (token.rstrip) range.end = std::max(range.end, covered) + leading_white_space(text.substr(std::max(range.end, covered)));
    if (covered < range.begin) parts.push_back({{covered, range.begin}, std::nullopt});
    if (range.begin < range.end)
      parts.push_back({range, tokens_[match->token_index].id});  // else the previous token matched all of it as white space
    covered = range.end;
  }
  if (covered < text.size()) parts.push_back({{covered, text.size()}, std::nullopt});
  return parts;
}

void AddedTokens::Trie::add(std::string_view text, std::size_t token_index) {
  std::size_t node = 0;
  for (const char byte : text) {
    const auto [entry, added] = edges_.try_emplace(edge(node, byte), token_of_node_.size());
    if (added) token_of_node_.emplace_back();
    node = entry->second;
  }
  if (!text.empty() && !token_of_node_[node]) token_of_node_[node] = token_index;
}

std::optional<AddedTokens::Trie::Match> AddedTokens::Trie::find_longest_at(std::string_view text) const {
  std::optional<Match> longest;
  std::size_t node = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto entry = edges_.find(edge(node, text[i]));
    if (entry == edges_.end()) break;
    node = entry->second;
    if (token_of_node_[node]) longest = Match{*token_of_node_[node], i + 1};
  }
  return longest;
}

}  // namespace slora
