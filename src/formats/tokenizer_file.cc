#include "formats/tokenizer_file.h"

#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "formats/file.h"
#include "formats/gguf_model.h"
#include "formats/gguf_tokenizer.h"

namespace slora {
namespace {

constexpr const char* kTokenizer = "tokenizer.json";
constexpr JsonLimits kTokenizerLimits{.bytes_max = std::size_t{64} << 20};
constexpr JsonLimits kTokenizerFileLimits{.bytes_max = std::size_t{8} << 20};
constexpr std::size_t kTemplatesMax = 64;

tl::unexpected<Error> in_file(std::string_view name, const Error& why) { return error(why.code, "{}: {}", name, why.message); }

// Null if there is no such file.
Result<Json> optional_object(const TextFiles& files, std::string_view name, const JsonLimits& limits) {
  const std::string* text = files.find(name);
  if (text == nullptr) return Json();
  Result<Json> json = parse_json(*text, limits);
  if (!json) return in_file(name, json.error());
  if (!json->is_object()) return error("E_BAD_JSON", "{}: expected an object, found {}", name, type_name(*json));
  return json;
}

// The same with an empty object if there is no such file.
Result<Json> object_or_empty(const TextFiles& files, std::string_view name) {
  Result<Json> json = optional_object(files, name, kTokenizerFileLimits);
  if (json && json->is_null()) *json = Json::object();
  return json;
}

// "chat_template": the template, or a list of named templates, of which "default" is the default one.
Status take_templates(TokenizerFiles& files, const Json& config) {
  const Json* found = find_member(config, "chat_template");
  if (found == nullptr) return {};
  if (found->is_string()) {
    files.chat_template = found->get<std::string>();
    return {};
  }
  if (!found->is_array() || found->size() > kTemplatesMax) {
    return error("E_BAD_JSON", "\"chat_template\": expected a string or a list of at most {} named templates, found {}", kTemplatesMax,
                 shown(*found));
  }
  for (const Json& entry : *found) {
    if (!entry.is_object())
      return error("E_BAD_JSON", "\"chat_template\": expected objects with name and template, found {}", shown(entry));
    Result<std::string> name = string_at(entry, "name");
    if (!name) return forward_error(name);
    Result<std::string> text = string_at(entry, "template");
    if (!text) return forward_error(text);
    (*name == "default" ? files.chat_template : files.named_templates[*name]) = std::move(*text);
  }
  return {};
}

// Separate files take precedence over the config: chat_template.jinja replaces all of its templates, as in transformers, and
// additional_chat_templates/NAME.jinja those of the same name. chat_template.json, which older processors wrote, is used if there is no
// other.
Status take_template_files(TokenizerFiles& out, const TextFiles& files) {
  if (const std::string* text = files.find("chat_template.jinja")) {
    out.chat_template = *text;
    out.named_templates.clear();
  }
  if (out.chat_template.empty()) {
    const Result<Json> older = object_or_empty(files, "chat_template.json");
    if (!older) return tl::unexpected(older.error());
    if (Status taken = take_templates(out, *older); !taken) return in_file("chat_template.json", taken.error());
  }
  for (const auto& [name, text] : files.further_templates()) out.named_templates.insert_or_assign(name, text);
  return {};
}

Status take_config(TokenizerFiles& files, const Json& config) {
  if (Status taken = take_templates(files, config); !taken) return taken;
  for (auto [key, field] : {std::pair("legacy", &files.legacy), std::pair("add_prefix_space", &files.add_prefix_space),
                            std::pair("split_special_tokens", &files.split_special_tokens)}) {
    Result<std::optional<bool>> found = optional_bool_at(config, key);
    if (!found) return forward_error(found);
    *field = *found;
  }
  Result<std::optional<std::string>> name = optional_string_at(config, "tokenizer_class");
  if (!name) return forward_error(name);
  files.tokenizer_class = name->value_or("");
  if (const Json* response_template = find_member(config, "response_template")) files.response_template = response_template->dump();
  return {};
}

std::map<std::string, Sha256Digest, std::less<>> digests_of_vocabularies(const TextFiles& files) {
  std::map<std::string, Sha256Digest, std::less<>> digests;
  for (const char* name : {kTokenizer, "tokenizer.model", "vocab.json", "merges.txt"}) {
    const std::string* text = files.find(name);
    if (text == nullptr) continue;
    Sha256 hash;
    hash.update(std::as_bytes(std::span(*text)));
    digests.emplace(name, hash.finish());
  }
  return digests;
}

Status read_tokenizer(TokenizerFiles& out, const TextFiles& files) {
  Result<Json> tokenizer = optional_object(files, kTokenizer, kTokenizerLimits);
  if (!tokenizer) return forward_error(tokenizer);
  if (!tokenizer->is_null()) out.tokenizer = std::make_unique<Json>(std::move(*tokenizer));
  return {};
}

// All but tokenizer.json, whose content is `tokenizer`.
Status read_other_files(TokenizerFiles& out, const TextFiles& files, const Json& tokenizer) {
  const Result<Json> config = object_or_empty(files, "tokenizer_config.json");
  if (!config) return tl::unexpected(config.error());
  if (Status taken = take_config(out, *config); !taken) return in_file("tokenizer_config.json", taken.error());
  const Result<Json> special_tokens_map = object_or_empty(files, "special_tokens_map.json");
  if (!special_tokens_map) return tl::unexpected(special_tokens_map.error());
  const Result<Json> added_tokens = object_or_empty(files, "added_tokens.json");
  if (!added_tokens) return tl::unexpected(added_tokens.error());
  Result<FurtherTokens> further = read_further_tokens({tokenizer, *config, *special_tokens_map, *added_tokens});
  if (!further) return forward_error(further);
  out.special_tokens.insert(further->named.begin(), further->named.end());
  out.added_tokens = std::move(further->added);
  return take_template_files(out, files);
}

}  // namespace

Result<TokenizerFiles> parse_tokenizer_files(const TextFiles& files) {
  TokenizerFiles result;
  result.vocabularies = digests_of_vocabularies(files);
  if (Status read = read_tokenizer(result, files); !read) return forward_error(read);
  if (!result.tokenizer) {
    return error("E_NO_TOKENIZER",
                 "expected tokenizer.json in the model folder, found none; where there is only a tokenizer.model, loading and saving the "
                 "tokenizer with transformers writes one");
  }
  if (Status read = read_other_files(result, files, *result.tokenizer); !read) return forward_error(read);
  return result;
}

Result<TokenizerFiles> parse_adapter_files(const TextFiles& files, const TokenizerFiles& base) {
  TokenizerFiles result;
  result.vocabularies = digests_of_vocabularies(files);
  const auto own = result.vocabularies.find(kTokenizer);
  const auto known = base.vocabularies.find(kTokenizer);
  const bool is_known = own != result.vocabularies.end() && known != base.vocabularies.end() && own->second == known->second;
  if (!is_known) {
    if (Status read = read_tokenizer(result, files); !read) return forward_error(read);
  }
  if (Status read = read_other_files(result, files, result.tokenizer ? *result.tokenizer : *base.tokenizer); !read)
    return forward_error(read);
  return result;
}

Result<TokenizerFiles> read_tokenizer_files(const std::string& folder) {
  if (is_gguf_path(folder)) {
    const Result<GgufModel> model = open_gguf_model(folder);
    if (!model) return tl::unexpected(model.error());
    return tokenizer_of_gguf(model->head());
  }
  const Result<TextFiles> texts = TextFiles::read(folder);
  if (!texts) return tl::unexpected(texts.error());
  Result<TokenizerFiles> files = parse_tokenizer_files(*texts);
  if (!files) return files;
  Result<Json> model = read_json_file(folder + "/config.json", kTokenizerFileLimits);
  if (!model && model.error().code == "E_NO_FILE") return files;
  if (!model) return forward_error(model);
  if (!model->is_object()) return error("E_BAD_JSON", "config.json: expected an object, found {}", type_name(*model));
  Result<std::optional<std::string>> model_type = optional_string_at(*model, "model_type");
  if (!model_type) return in_file("config.json", model_type.error());
  files->model_type = model_type->value_or("");
  return files;
}

}  // namespace slora
