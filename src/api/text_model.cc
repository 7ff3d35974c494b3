#include "api/text_model.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/sampling_defaults.h"
#include "base/log.h"
#include "formats/generation_config.h"
#include "formats/tokenizer_file.h"
#include "text/end_tokens.h"
#include "text/tokenizer_class.h"

namespace slora {
namespace {

constexpr std::size_t kTemplateBytesMax = 1 << 20;
constexpr const char* kNoTemplate = "This model has no chat template; use /v1/completions, or start the server with --chat-template FILE.";
// A parsed template and a table of tokens take about this many times the bytes of their files.
constexpr std::size_t kMemoryPerByte = 16;

std::size_t longest_token_bytes(const Tokenizer& tokenizer) {
  std::size_t longest = 1;
  for (std::size_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    longest = std::max(longest, tokenizer.token_text(static_cast<TokenId>(id)).size());
  }
  return longest;
}

// Everything that decides what a tokenizer does with the base's vocabulary.
std::string steps_of(const TokenizerFiles& files) {
  Json steps = Json::object();
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens"}) {
    if (const Json* step = find_member(*files.tokenizer, key)) steps[key] = *step;
  }
  for (const AddedToken& token : files.added_tokens) {
    steps["further"].push_back({token.content, token.single_word, token.lstrip, token.rstrip, token.normalized, token.special});
  }
  steps["split"] = files.split_special_tokens.value_or(false);
  return steps.dump();
}

// A copy without the vocabulary and the merges, which are large.
Json without_model(Json& tokenizer) {
  const auto at = tokenizer.find("model");
  if (at == tokenizer.end()) return tokenizer;
  Json model = std::move(*at);
  Json rest = tokenizer;
  *at = std::move(model);
  rest.erase("model");
  return rest;
}

// The adapter's files with what only the base says. A tokenizer_config.json is complete: nothing about tokens is added to it.
void complete_from(const TokenizerFiles& base, TokenizerFiles& own, bool has_config) {
  own.model_type = base.model_type;
  if (own.chat_template.empty()) {
    own.chat_template = base.chat_template;
    if (own.named_templates.empty()) own.named_templates = base.named_templates;
    if (own.response_template.empty()) own.response_template = base.response_template;
  }
  if (has_config) return;
  own.tokenizer_class = base.tokenizer_class;
  own.legacy = base.legacy;
  own.add_prefix_space = base.add_prefix_space;
  own.split_special_tokens = base.split_special_tokens;
  own.special_tokens.insert(base.special_tokens.begin(), base.special_tokens.end());
  own.added_tokens.insert(own.added_tokens.begin(), base.added_tokens.begin(), base.added_tokens.end());
}

// A vocabulary in another form is not read; it must be the base's.
Status check_other_vocabularies(const TokenizerFiles& own, const TokenizerFiles& base) {
  for (const auto& [name, digest] : own.vocabularies) {
    const auto known = base.vocabularies.find(name);
    if (known != base.vocabularies.end() && known->second == digest) continue;
    return error(
        "E_ADAPTER_TOKENIZER",
        "{} without tokenizer.json: expected the same file as the base's, found {}; load the adapter's tokenizer with transformers "
        "and save it, which writes tokenizer.json",
        name, known == base.vocabularies.end() ? "none in the base's folder" : "another");
  }
  return {};
}

Result<GenerationConfig> generation_of_adapter(const TextFiles& files, const GenerationConfig& base, std::int32_t vocabulary_size) {
  const std::string* text = files.find("generation_config.json");
  if (text == nullptr) return base;
  const Result<Json> json = parse_json(*text);
  if (!json) return error(json.error().code, "generation_config.json: {}", json.error().message);
  const Result<GenerationConfig> own = parse_generation_config(*json, Json::object(), vocabulary_size);
  if (!own) return tl::unexpected(own.error());
  return overlay(base, *own);
}

}  // namespace

struct TextModel::Basis {
  TokenizerFiles files;  // its tokenizer without the "model", before apply_tokenizer_class
  std::string steps;     // steps_of the tokenizer that is used
  GenerationConfig generation;
  std::int32_t vocabulary_size = 0;
  AnswerFormChoice answer_forms;
};

Result<std::shared_ptr<const TextModel>> TextModel::load(const std::filesystem::path& folder, const TextModelOptions& options) {
  Result<TokenizerFiles> files = read_tokenizer_files(folder.string());
  if (!files) return forward_error(files);
  Json as_read = without_model(*files->tokenizer);
  apply_tokenizer_class(*files);
  Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(*files->tokenizer, tokenizer_settings(*files));
  if (!tokenizer) return forward_error(tokenizer);
  Result<GenerationConfig> generation = read_generation_config(folder.string(), options.vocabulary_size);
  if (!generation) return forward_error(generation);
  for (const std::string& warning : generation->warnings) log_warning("{}: {}", folder.filename().string(), warning);
  add_end_tokens(*generation, end_tokens_of(**tokenizer, *files, options.vocabulary_size));
  if (options.chat_template_file) {
    Result<std::string> text = read_text_file(options.chat_template_file->string(), kTemplateBytesMax);
    if (!text) return error("E_CHAT_TEMPLATE", "--chat-template: {}: {}", options.chat_template_file->string(), text.error().message);
    files->chat_template = std::move(*text);
    files->named_templates.clear();
  }

  TextModel model;
  model.tokenizer_ = std::move(*tokenizer);
  model.token_bytes_max_ = longest_token_bytes(*model.tokenizer_);
  model.sampling_ = sampling_defaults(*generation);
  if (Status set = model.set_templates(*files, "model"); !set && options.chat_template_file) {
    return error("E_CHAT_TEMPLATE", "--chat-template: {}: {}", options.chat_template_file->string(), set.error().message);
  }
  model.set_answer_forms(*files, options.answer_forms, nullptr);
  std::string steps = steps_of(*files);
  *files->tokenizer = std::move(as_read);
  model.basis_ = std::make_shared<const Basis>(
      Basis{std::move(*files), std::move(steps), std::move(*generation), options.vocabulary_size, options.answer_forms});
  return std::make_shared<const TextModel>(std::move(model));
}

Result<std::shared_ptr<const TextModel>> TextModel::of_adapter(const TextFiles& files, const std::shared_ptr<const TextModel>& base,
                                                               std::int32_t added_tokens) {
  if (files.is_empty()) return base;
  const Basis& basis = *base->basis_;
  const std::int32_t vocabulary_size = basis.vocabulary_size + added_tokens;
  Result<TokenizerFiles> own = parse_adapter_files(files, basis.files);
  if (!own) return forward_error(own);
  const bool brings_templates = own->has_templates();
  complete_from(basis.files, *own, files.find("tokenizer_config.json") != nullptr);
  Result<std::shared_ptr<const Tokenizer>> tokenizer = tokenizer_of_adapter(*own, files, *base, vocabulary_size);
  if (!tokenizer) return forward_error(tokenizer);
  Result<GenerationConfig> generation = generation_of_adapter(files, basis.generation, vocabulary_size);
  if (!generation) return forward_error(generation);
  add_end_tokens(*generation, end_tokens_of(**tokenizer, *own, vocabulary_size));

  TextModel model;
  model.tokenizer_ = std::move(*tokenizer);
  model.token_bytes_max_ = base->token_bytes_max_;
  model.sampling_ = sampling_defaults(*generation);
  std::size_t file_bytes = 0;
  if (brings_templates || own->special_tokens != basis.files.special_tokens) {
    static_cast<void>(model.set_templates(*own, brings_templates ? "adapter" : "model"));  // an unusable template refuses chats only
    file_bytes += own->chat_template.size();
    for (const auto& [name, text] : own->named_templates) file_bytes += text.size();
  } else {
    model.chat_ = base->chat_;
    model.chat_refusal_ = base->chat_refusal_;
  }
  model.set_answer_forms(*own, basis.answer_forms, base.get());
  if (model.tokenizer_ != base->tokenizer_) {
    model.token_bytes_max_ = longest_token_bytes(*model.tokenizer_);
    file_bytes += steps_of(*own).size();
  }
  model.bytes_ = sizeof(TextModel) + kMemoryPerByte * file_bytes;
  return std::make_shared<const TextModel>(std::move(model));
}

// The base's own where the adapter's does the same.
Result<std::shared_ptr<const Tokenizer>> TextModel::tokenizer_of_adapter(TokenizerFiles& own, const TextFiles& files, const TextModel& base,
                                                                         std::int32_t vocabulary_size) {
  const Basis& basis = *base.basis_;
  if (files.find("tokenizer.json") == nullptr) {
    if (Status known = check_other_vocabularies(own, basis.files); !known) return forward_error(known);
  }
  if (!own.tokenizer) {
    own.tokenizer = std::make_unique<Json>(*basis.files.tokenizer);
  } else if (find_member(*own.tokenizer, "model") == nullptr) {
    return error("E_TOKENIZER", "tokenizer.json has no \"model\"");
  }
  apply_tokenizer_class(own);
  Result<std::shared_ptr<const Tokenizer>> tokenizer =
      Tokenizer::of_adapter(*own.tokenizer, tokenizer_settings(own), *base.tokenizer_, vocabulary_size);
  if (tokenizer && steps_of(own) == basis.steps) return base.tokenizer_;
  return tokenizer;
}

// Refuses chats where there is no template that can be used, and says why.
Status TextModel::set_templates(const TokenizerFiles& files, std::string_view subject) {
  Result<ChatRenderer> chat = ChatRenderer::create(files);
  if (chat) {
    chat_ = std::make_shared<const ChatRenderer>(std::move(*chat));
    return {};
  }
  std::string message = chat.error().code == "E_NO_CHAT_TEMPLATE"
                            ? kNoTemplate
                            : fmt::format("This {}'s chat template is not served: {}", subject, chat.error().message);
  chat_refusal_ = Error{"invalid_request_error", std::move(message), "messages"};
  return forward_error(chat);
}

// A format that can't be used leaves answers whole, as those of a model without one.
void TextModel::set_answer_forms(const TokenizerFiles& files, const AnswerFormChoice& choice, const TextModel* base) {
  Result<AnswerForms> forms = answer_forms_of(files, *tokenizer_, choice, base == nullptr ? nullptr : &base->answer_forms_);
  if (forms) {
    answer_forms_ = std::move(*forms);
  } else {
    log_warning("answers are returned as the text that the model writes: {}", forms.error().message);
  }
}

Result<std::string> TextModel::render(const Conversation& conversation) const {
  if (chat_refusal_) return tl::unexpected<Error>(*chat_refusal_);
  return chat_->render(conversation);
}

}  // namespace slora
