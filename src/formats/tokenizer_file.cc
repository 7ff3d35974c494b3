#include "formats/tokenizer_file.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <vector>

#include "formats/file.h"

namespace slora {
namespace {

constexpr JsonLimits kTokenizerLimits{.bytes_max = std::size_t{64} << 20};
constexpr JsonLimits kTokenizerFileLimits{.bytes_max = std::size_t{8} << 20};
constexpr std::size_t kTemplateBytesMax = std::size_t{1} << 20;
constexpr std::size_t kTemplatesMax = 64;

tl::unexpected<Error> in_file(std::string_view name, const Error& why) { return error(why.code, "{}: {}", name, why.message); }
bool is_absent(const Error& why) { return why.code == "E_NO_FILE"; }

// An object; an empty one if there is no such file.
Result<Json> read_optional_object(const std::string& path) {
  Result<Json> json = read_json_file(path, kTokenizerFileLimits);
  if (!json && is_absent(json.error())) return Json(Json::value_t::object);
  if (json && !json->is_object()) return error("E_BAD_JSON", "{}: expected an object, found {}", file_name(path), type_name(*json));
  return json;
}

// A special token: its text, or an object whose "content" is its text.
Status take_token(std::optional<std::string>& out, const Json& config, std::string_view key) {
  if (out) return {};
  const Json* token = find_member(config, key);
  if (token == nullptr) return {};
  const Json* content = token->is_object() ? find_member(*token, "content") : token;
  if (content == nullptr || !content->is_string())
    return error("E_BAD_JSON", "\"{}\": expected a string or an object with \"content\", found {}", key, shown(*token));
  out = content->get<std::string>();
  return {};
}

Status take_tokens(TokenizerFiles& files, const Json& config) {
  for (auto [key, field] : {std::pair("bos_token", &files.bos_token), std::pair("eos_token", &files.eos_token),
                            std::pair("unk_token", &files.unk_token), std::pair("pad_token", &files.pad_token)}) {
    if (Status taken = take_token(*field, config, key); !taken) return taken;
  }
  return {};
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

Status take_template_file(std::string& out, const std::string& path) {
  Result<std::string> text = read_text_file(path, kTemplateBytesMax);
  if (!text && is_absent(text.error())) return {};
  if (!text) return forward_error(text);
  out = std::move(*text);
  return {};
}

// Separate files take precedence over the config: chat_template.jinja and additional_chat_templates/NAME.jinja. chat_template.json, which
// older processors wrote, is used if there is no other.
Status take_template_files(TokenizerFiles& files, const std::string& folder) {
  if (Status taken = take_template_file(files.chat_template, folder + "/chat_template.jinja"); !taken) return taken;
  if (files.chat_template.empty()) {
    Result<Json> older = read_optional_object(folder + "/chat_template.json");
    if (!older) return forward_error(older);
    if (Status taken = take_templates(files, *older); !taken) return in_file("chat_template.json", taken.error());
  }
  std::error_code ignored;
  std::vector<std::filesystem::path> found;
  for (std::filesystem::directory_iterator at(folder + "/additional_chat_templates", ignored), end; !ignored && at != end;
       at.increment(ignored)) {
    if (at->path().extension() == ".jinja") found.push_back(at->path());
    if (found.size() > kTemplatesMax)
      return error("E_TOO_LARGE", "additional_chat_templates: expected at most {} templates, found more", kTemplatesMax);
  }
  for (const std::filesystem::path& path : found) {
    if (Status taken = take_template_file(files.named_templates[path.stem().string()], path.string()); !taken) return taken;
  }
  return {};
}

Status take_config(TokenizerFiles& files, const Json& config) {
  if (Status taken = take_tokens(files, config); !taken) return taken;
  if (Status taken = take_templates(files, config); !taken) return taken;
  for (auto [key, field] : {std::pair("legacy", &files.legacy), std::pair("add_prefix_space", &files.add_prefix_space)}) {
    Result<std::optional<bool>> found = optional_bool_at(config, key);
    if (!found) return forward_error(found);
    *field = *found;
  }
  Result<std::optional<std::string>> name = optional_string_at(config, "tokenizer_class");
  if (!name) return forward_error(name);
  files.tokenizer_class = name->value_or("");
  return {};
}

}  // namespace

Result<TokenizerFiles> read_tokenizer_files(const std::string& folder) {
  Result<Json> tokenizer = read_json_file(folder + "/tokenizer.json", kTokenizerLimits);
  if (!tokenizer && is_absent(tokenizer.error())) {
    return error("E_NO_TOKENIZER",
                 "expected tokenizer.json in the model folder, found none; where there is only a tokenizer.model, loading and saving the "
                 "tokenizer with transformers writes one");
  }
  if (!tokenizer) return forward_error(tokenizer);
  if (!tokenizer->is_object()) return error("E_BAD_JSON", "tokenizer.json: expected an object, found {}", type_name(*tokenizer));
  TokenizerFiles files;
  files.tokenizer = std::make_unique<Json>(std::move(*tokenizer));

  Result<Json> config = read_optional_object(folder + "/tokenizer_config.json");
  if (!config) return forward_error(config);
  if (Status taken = take_config(files, *config); !taken) return in_file("tokenizer_config.json", taken.error());
  Result<Json> model = read_optional_object(folder + "/config.json");
  if (!model) return forward_error(model);
  Result<std::optional<std::string>> model_type = optional_string_at(*model, "model_type");
  if (!model_type) return in_file("config.json", model_type.error());
  files.model_type = model_type->value_or("");
  Result<Json> special = read_optional_object(folder + "/special_tokens_map.json");
  if (!special) return forward_error(special);
  if (Status taken = take_tokens(files, *special); !taken) return in_file("special_tokens_map.json", taken.error());
  if (Status taken = take_template_files(files, folder); !taken) return forward_error(taken);
  return files;
}

}  // namespace slora
