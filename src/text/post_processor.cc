#include "text/post_processor.h"

#include <nlohmann/json.hpp>

#include "base/checked.h"
#include "text/tokenizer_json.h"

namespace slora {
namespace {

Result<TokenId> id_of(const Json& entry, std::string_view token) {
  const std::optional<TokenId> id = entry.is_number_integer() ? checked_cast<TokenId>(entry.get<std::int64_t>()) : std::nullopt;
  if (!id || *id < 0) return error("E_TOKENIZER", "tokenizer.json: post_processor: special token \"{}\" has id {}", token, shown(entry));
  return *id;
}

}  // namespace

Result<PostProcessor> PostProcessor::from_json(const Json& tokenizer_json) {
  Result<const Json*> part = part_at(tokenizer_json, "post_processor");
  if (!part) return forward_error(part);
  PostProcessor processor;
  if (*part != nullptr) {
    if (Status status = processor.add(**part, "post_processor"); !status) return forward_error(status);
  }
  return processor;
}

Status PostProcessor::add(const Json& step, const std::string& path) {
  Result<std::string> type = type_at(step, path);
  if (!type) return forward_error(type);
  if (*type == "ByteLevel") return {};  // changes offsets only, not tokens
  if (*type == "TemplateProcessing") return add_template(step);
  if (*type == "BertProcessing" || *type == "RobertaProcessing") return add_pair(step);
  if (*type == "Sequence") {
    return add_steps(step, "processors", path, [this](const Json& member, const std::string& at) { return add(member, at); });
  }
  return unsupported_step(path, *type);
}

Status PostProcessor::add_template(const Json& step) {
  const Json* pieces = find_member(step, "single");
  if (pieces == nullptr || !pieces->is_array()) return error("E_TOKENIZER", "tokenizer.json: post_processor: \"single\" must be a list");
  std::vector<TokenId> before;
  std::vector<TokenId> after;
  bool text_seen = false;
  for (const Json& piece : *pieces) {
    const Json* special = piece.is_object() ? find_member(piece, "SpecialToken") : nullptr;
    const Json* sequence = piece.is_object() ? find_member(piece, "Sequence") : nullptr;
    if (special != nullptr && special->is_object()) {
      Result<std::string> name = string_at(*special, "id");
      if (!name) return forward_error(name);
      if (Status status = append_special(text_seen ? after : before, step, *name); !status) return status;
    } else if (sequence != nullptr && !text_seen) {
      text_seen = true;
    } else {
      return error("E_TOKENIZER", "tokenizer.json: post_processor: {} is not supported in \"single\"", shown(piece));
    }
  }
  if (!text_seen) return error("E_TOKENIZER", "tokenizer.json: post_processor: \"single\" without its Sequence is not supported");
  before_.insert(before_.begin(), before.begin(), before.end());
  after_.insert(after_.end(), after.begin(), after.end());
  return {};
}

// "cls" is added before the text, "sep" after it; each is [text, id].
Status PostProcessor::add_pair(const Json& step) {
  const auto add_token = [&step](std::vector<TokenId>& out, std::vector<TokenId>::const_iterator at, std::string_view key) -> Status {
    const Json* token = find_member(step, key);
    if (token == nullptr || !token->is_array() || token->size() != 2)
      return error("E_TOKENIZER", "tokenizer.json: post_processor: \"{}\" must be a list of a token and its id", key);
    Result<TokenId> id = id_of((*token)[1], key);
    if (!id) return forward_error(id);
    out.insert(at, *id);
    return {};
  };
  if (Status added = add_token(before_, before_.begin(), "cls"); !added) return added;
  return add_token(after_, after_.end(), "sep");
}

Status PostProcessor::append_special(std::vector<TokenId>& out, const Json& step, const std::string& name) {
  const Json* tokens = find_member(step, "special_tokens");
  const Json* token = tokens != nullptr && tokens->is_object() ? find_member(*tokens, name) : nullptr;
  const Json* ids = token != nullptr && token->is_object() ? find_member(*token, "ids") : nullptr;
  if (ids == nullptr || !ids->is_array())
    return error("E_TOKENIZER", "tokenizer.json: post_processor: special token \"{}\" has no ids", name);
  for (const Json& entry : *ids) {
    Result<TokenId> id = id_of(entry, name);
    if (!id) return forward_error(id);
    out.push_back(*id);
  }
  return {};
}

}  // namespace slora
