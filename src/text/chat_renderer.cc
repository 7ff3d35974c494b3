#include "text/chat_renderer.h"

#include <nlohmann/json.hpp>

namespace slora {
namespace {

constexpr std::string_view kDefaultName = "default";

Json or_null(const Json* value) { return value == nullptr ? Json() : *value; }

}  // namespace

Result<ChatRenderer> ChatRenderer::create(const TokenizerFiles& files) {
  if (files.chat_template.empty() && files.named_templates.empty()) return error("E_NO_CHAT_TEMPLATE", "the model has no chat template");
  ChatRenderer renderer;
  const auto add = [&renderer](std::string_view name, const std::string& source) -> Status {
    Result<ChatTemplate> parsed = ChatTemplate::parse(source);
    if (!parsed) return forward_error(parsed);
    renderer.templates_.emplace(name, std::move(*parsed));
    return {};
  };
  if (!files.chat_template.empty()) {
    if (Status added = add(kDefaultName, files.chat_template); !added) return forward_error(added);
  }
  for (const auto& [name, source] : files.named_templates) {
    if (Status added = add(name, source); !added) return forward_error(added);
  }
  for (const auto& [name, token] : {std::pair("bos_token", files.bos_token), std::pair("eos_token", files.eos_token),
                                    std::pair("unk_token", files.unk_token), std::pair("pad_token", files.pad_token)}) {
    if (token) renderer.special_tokens_.emplace(name, *token);
  }
  return renderer;
}

Result<const ChatTemplate*> ChatRenderer::choose(const Conversation& conversation) const {
  const auto named = [this](std::string_view name) {
    const auto found = templates_.find(name);
    return found == templates_.end() ? nullptr : &found->second;
  };
  const ChatTemplate* chosen = nullptr;
  if (conversation.template_name) {
    chosen = named(*conversation.template_name);
  } else {
    if (conversation.tools != nullptr) chosen = named("tool_use");
    if (chosen == nullptr && conversation.documents != nullptr) chosen = named("rag");
    if (chosen == nullptr) chosen = named(kDefaultName);
  }
  if (chosen != nullptr) return chosen;
  std::vector<std::string_view> names;
  for (const auto& [name, ignored] : templates_) names.push_back(name);
  return tl::unexpected(Error{"invalid_request_error",
                              fmt::format("chat_template: expected one of this model's templates ({}), found {}", fmt::join(names, ", "),
                                          quote(conversation.template_name.value_or(kDefaultName))),
                              "chat_template"});
}

Result<std::string> ChatRenderer::render(const Conversation& conversation) const {
  const Result<const ChatTemplate*> chosen = choose(conversation);
  if (!chosen) return tl::unexpected(chosen.error());
  Json context = Json::object();
  for (const auto& [name, token] : special_tokens_) context[name] = token;
  context["messages"] = conversation.messages;
  context["tools"] = or_null(conversation.tools);
  context["documents"] = or_null(conversation.documents);
  context["add_generation_prompt"] = conversation.add_generation_prompt;
  if (conversation.kwargs != nullptr) context.update(*conversation.kwargs);
  Result<std::string> text = (*chosen)->render(context);
  if (!text && text.error().param.empty()) text.error().param = "messages";
  return text;
}

}  // namespace slora
