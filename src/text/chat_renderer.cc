#include "text/chat_renderer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "text/chat_messages.h"
#include "text/python_text.h"

namespace slora {
namespace {

constexpr std::size_t kVariablesMax = 256;  // of a context; each look-up is linear
constexpr std::string_view kDefaultName = "default";
// Appended to the text that is to be continued, and searched for in the rendered text, as transformers does. The space shows
// whether the template strips texts.
constexpr std::string_view kContinueTag = "CONTINUE_FINAL_MESSAGE_TAG ";

Result<Json> messages_for(const ChatTemplate& chat_template, const Conversation& conversation) {
  return to_template_messages(conversation.messages, chat_template.loops_over_content() ? ContentFormat::parts : ContentFormat::text);
}

Json or_null(const Json* value) { return value == nullptr ? Json() : *value; }

// Appends the tag to the last message's text and returns that text. Requires: content in the template's format.
Result<std::string> tag_final_message(Json& messages, const Json& original) {
  if (find_member(original.back(), "content") == nullptr)
    return refuse_field("continue_final_message", "the last message has no content to continue");
  Json& content = messages.back()["content"];
  Json* text = content.is_string() ? &content : content.empty() ? nullptr : &content.back()["text"];
  if (text == nullptr) return refuse_field("continue_final_message", "the last message has no text to continue");
  auto whole = text->get<std::string>();
  *text = whole + std::string(kContinueTag);
  return whole;
}

Result<std::string> cut_at_tag(std::string rendered, std::string_view final_text) {
  const std::string_view bare_tag = strip_right(kContinueTag);
  const std::size_t at = rendered.rfind(bare_tag);
  if (at == std::string::npos || find_first(rendered, strip_left(strip_right(final_text))) == std::string::npos) {
    return refuse_field("continue_final_message",
                        "the model's chat template doesn't write the last message as it is, so it can't be continued");
  }
  const bool keeps_spaces = std::string_view(rendered).substr(at).starts_with(kContinueTag);
  rendered.resize(at);
  if (!keeps_spaces) rendered.resize(strip_right(rendered).size());
  return rendered;
}

}  // namespace

Result<ChatRenderer> ChatRenderer::create(const TokenizerFiles& files) {
  ChatRenderer renderer;
  const auto add = [&renderer](std::string_view name, const std::string& source) {
    renderer.templates_.emplace(name, Named{ChatTemplate::parse(source), source.find("content") != std::string::npos});
  };
  if (!files.chat_template.empty()) add(kDefaultName, files.chat_template);
  for (const auto& [name, source] : files.named_templates) add(name, source);
  if (renderer.templates_.empty()) return error("E_NO_CHAT_TEMPLATE", "the model has no chat template");
  const auto usual = renderer.templates_.find(kDefaultName);
  if (usual != renderer.templates_.end() && !usual->second.parsed) return tl::unexpected(usual->second.parsed.error());

  renderer.special_tokens_.insert(files.special_tokens.begin(), files.special_tokens.end());
  return renderer;
}

Result<const ChatRenderer::Named*> ChatRenderer::choose(const Conversation& conversation) const {
  const auto named = [this](std::string_view name) {
    const auto found = templates_.find(name);
    return found == templates_.end() ? nullptr : &found->second;
  };
  const Named* chosen = nullptr;
  if (conversation.template_name) {
    chosen = named(*conversation.template_name);
  } else {
    if (conversation.tools != nullptr) chosen = named("tool_use");
    if (conversation.tools == nullptr && conversation.documents != nullptr) chosen = named("rag");
    if (chosen == nullptr) chosen = named(kDefaultName);
  }
  if (chosen != nullptr && chosen->parsed) return chosen;
  if (chosen != nullptr) return tl::unexpected(chosen->parsed.error());
  std::vector<std::string> names;
  for (const auto& [name, ignored] : templates_) names.push_back(quote(name));
  return refuse_field("chat_template", fmt::format("expected the name of one of this model's templates ({}), found {}",
                                                   fmt::join(names, ", "), quote(conversation.template_name.value_or(kDefaultName))));
}

Result<std::string> ChatRenderer::render(const Conversation& conversation) const {
  const Result<const Named*> chosen = choose(conversation);
  if (!chosen) return tl::unexpected(chosen.error());
  const ChatTemplate& chat_template = *(*chosen)->parsed;
  Result<Json> messages = messages_for(chat_template, conversation);
  if (!messages) return forward_error(messages);
  std::string final_text;
  if (conversation.continue_final_message) {
    if (!(*chosen)->names_content) return refuse_field("continue_final_message", "the model's chat template writes no content");
    Result<std::string> tagged = tag_final_message(*messages, conversation.messages);
    if (!tagged) return tagged;
    final_text = std::move(*tagged);
  }
  Result<MarkedText> rendered = render_messages(chat_template, conversation, std::move(*messages));
  if (!rendered) return forward_error(rendered);
  if (!conversation.continue_final_message) return std::move(rendered->text);
  return cut_at_tag(std::move(rendered->text), final_text);
}

Result<MarkedText> ChatRenderer::render_marked(const Conversation& conversation) const {
  check(!conversation.continue_final_message, "expected a conversation whose final message is not continued");
  const Result<const Named*> chosen = choose(conversation);
  if (!chosen) return tl::unexpected(chosen.error());
  Result<Json> messages = messages_for(*(*chosen)->parsed, conversation);
  if (!messages) return forward_error(messages);
  return render_messages(*(*chosen)->parsed, conversation, std::move(*messages));
}

Result<MarkedText> ChatRenderer::render_messages(const ChatTemplate& chat_template, const Conversation& conversation, Json messages) const {
  if (conversation.kwargs != nullptr && conversation.kwargs->size() > kVariablesMax) {
    return refuse_field("chat_template_kwargs",
                        fmt::format("expected at most {} variables, found {}", kVariablesMax, conversation.kwargs->size()));
  }
  Json context = Json::object();
  for (const auto& [name, token] : special_tokens_) context[name] = token;
  context["add_generation_prompt"] = conversation.add_generation_prompt;
  if (conversation.kwargs != nullptr) context.update(*conversation.kwargs);
  context["messages"] = std::move(messages);
  context["tools"] = or_null(conversation.tools);
  context["documents"] = or_null(conversation.documents);
  Result<MarkedText> rendered = chat_template.render_marked(context);
  if (!rendered && rendered.error().param.empty()) rendered.error().param = "messages";
  return rendered;
}

}  // namespace slora
