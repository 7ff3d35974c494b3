#include "api/answer_forms.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "formats/json.h"

namespace slora {
namespace {

// What forced calls are written like where the templates show no form.
constexpr std::string_view kForcedFamily = "hermes";

Status check_family(std::string_view option, std::string_view name, std::span<const AnswerFamily> families) {
  if (name.empty() || name == "none" || find_family(families, name) != nullptr) return {};
  std::vector<std::string_view> known;
  for (const AnswerFamily& family : families) known.push_back(family.name);
  return error("bad_option", "{}: expected {} or none, found {}", option, fmt::join(known, ", "), quote(name));
}

}  // namespace

Status check_answer_forms(const AnswerFormChoice& choice) {
  if (Status known = check_family("--tool-call-parser", choice.calls, call_families()); choice.calls != "mistral" && !known) return known;
  return check_family("--reasoning-parser", choice.reasoning, reasoning_families());
}

Result<AnswerForms> answer_forms_of(const TokenizerFiles& files, const Tokenizer& tokenizer, const AnswerFormChoice& choice,
                                    const AnswerForms* base) {
  std::string templates = files.chat_template;
  for (const auto& [name, text] : files.named_templates) templates += text;
  const AnswerClues clues{.chat_templates = templates, .has_args_token = tokenizer.token_id("[ARGS]").has_value()};
  AnswerForms forms;
  if (choice.calls != "none") {
    const bool is_mistral = choice.calls == "mistral";  // one name for two forms, as in vLLM
    forms.calls = choice.calls.empty() ? detect_call_family(clues)
                  : is_mistral         ? find_family(call_families(), clues.has_args_token ? "mistral_args" : "mistral_list")
                                       : find_family(call_families(), choice.calls);
  }
  if (choice.reasoning != "none") {
    forms.reasoning = choice.reasoning.empty() ? detect_reasoning_family(clues) : find_family(reasoning_families(), choice.reasoning);
  }
  if (!files.response_template.empty() && choice.calls.empty() && choice.reasoning.empty()) {
    const Result<Json> json = parse_json(files.response_template);
    if (!json) return error("E_ANSWER_FORMAT", "response_template: {}", json.error().message);
    Result<AnswerFormat> own = AnswerFormat::from_json(*json);
    if (!own) return forward_error(own);
    forms.format = std::make_shared<const AnswerFormat>(std::move(*own));
    forms.is_own = true;
  }
  const bool shows_calls = forms.calls != nullptr;
  if (!shows_calls && choice.calls != "none") forms.calls = find_family(call_families(), kForcedFamily);
  const bool has_same_families = base != nullptr && !base->is_own && !forms.is_own && base->calls == forms.calls &&
                                 base->reasoning == forms.reasoning && base->finds_calls() == shows_calls;
  if (has_same_families) return *base;
  const auto format_of = [&](const AnswerFamily* calls) {
    return std::make_shared<const AnswerFormat>(make_answer_format(calls, forms.reasoning));
  };
  const bool is_free_known = shows_calls || forms.reasoning != nullptr;
  if (!forms.is_own && is_free_known) forms.format = format_of(shows_calls ? forms.calls : nullptr);
  if (forms.calls != nullptr) forms.forced_format = shows_calls && forms.finds_calls() ? forms.format : format_of(forms.calls);
  return forms;
}

std::string answer_begin_in(const AnswerFormat& format, std::string_view prompt) {
  if (!format.start) {
    const std::size_t begin = prompt.rfind('\n', prompt.find_last_not_of(" \n"));
    const std::string_view last_line = prompt.substr(begin == std::string_view::npos ? 0 : begin);
    for (const AnswerField& field : format.fields) {
      if (field.role != AnswerField::Role::reasoning || !field.open) continue;
      // A mark may follow the header of the answer directly: <|Assistant|><think>.
      for (std::size_t at = 0; at < last_line.size(); ++at) {
        const std::optional<StreamPattern::Match> mark = field.open->find(last_line.substr(at), 0, {});
        const bool is_last = mark && mark->begin == 0 && last_line.find_first_not_of(" \n", at + mark->end) == std::string_view::npos;
        if (is_last) return std::string(last_line.substr(at));
      }
    }
    return {};
  }
  std::size_t begin = 0;
  bool is_found = false;
  while (const std::optional<StreamPattern::Match> match = format.start->find(prompt, begin, {})) {
    if (match->end == begin && is_found) break;
    begin = match->end;
    is_found = true;
  }
  return is_found ? std::string(prompt.substr(begin)) : std::string();
}

}  // namespace slora
