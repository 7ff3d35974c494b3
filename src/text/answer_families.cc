#include "text/answer_families.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"

namespace slora {
namespace {

constexpr AnswerFamily kCallFamilies[] = {
    {.name = "hermes",
     .aliases = "qwen25 qwen2_5 qwen qwen3 granite4 smollm3 longcat",
     .response_template = R"json({"fields": {"content": {}, "tool_calls": {
        "open_pattern": "\\s*<tool_call>", "close": "</tool_call>", "content": "json",
        "transform": {"function": {"name": "{content.name}", "arguments": "{content.arguments}"}}}}})json",
     .forced = {{.begin = "<tool_call>\n{\"name\": \"{name}\", \"arguments\": ",
                 .end = "}\n</tool_call>",
                 .separator = "\n",
                 .before = {},
                 .after = {},
                 .trigger = "<tool_call>"}}},
    {.name = "qwen_xml",
     .aliases = "qwen3_coder qwen3_xml qwen3_5 seed_oss step3p5",
     .response_template = R"json({"fields": {"content": {}, "tool_calls": {
        "open_pattern": "\\s*(?:<tool_call>\\s*)?<function=(?P<name>[^>\\n]+)>",
        "close_pattern": "</function>(?:\\s*</tool_call>)?", "content": "xml-inline",
        "content_args": {"tag_pattern": "<parameter=(?P<key>[^>\\n]+)>\\n?(?P<value>.*?)\\n?</parameter>"},
        "transform": {"function": {"name": "{name}", "arguments": "{content}"}}}}})json",
     .forced = {{.begin = "<tool_call>\n<function={name}>\n",
                 .end = "\n</function>\n</tool_call>",
                 .separator = "\n",
                 .before = {},
                 .after = {},
                 .trigger = "<tool_call>",
                 .style = "qwen_xml"}}},
    {.name = "llama3_json",
     .aliases = "llama3 llama4_json llama",
     .response_template = R"json({"fields": {"content": {}, "tool_calls": {
        "open_pattern": "(?:^\\s*|<\\|python_tag\\|>\\s*|\\s*;\\s*)(?=\\{\\s*\")", "content": "json",
        "transform": {"function": {"name": "{content.name}", "arguments": "{content.parameters}"}}}}})json",
     .forced =
         {{.begin = "{\"name\": \"{name}\", \"parameters\": ", .end = "}", .separator = "; ", .before = {}, .after = {}, .trigger = {}}}},
    {.name = "pythonic",
     .aliases = "llama4_pythonic olmo3 toolace lfm2",
     .response_template = R"json({"fields": {"content": {},
        "tool_calls": {"open_pattern": "^\\s*(?=\\[\\s*[A-Za-z_][A-Za-z0-9_.\\-]*\\()", "content": "python-call-list"},
        "tool_calls:marked": {"open": ["<|python_start|>", "<function_calls>", "<|tool_call_start|>"],
          "close": ["<|python_end|>", "</function_calls>", "<|tool_call_end|>"], "content": "python-call-list"}}})json",
     .forced = {{.begin = "{name}(", .end = ")", .separator = ", ", .before = "[", .after = "]", .trigger = {}, .style = "python"}}},
    {.name = "mistral_list",
     .aliases = "mistral_v3",
     .response_template = R"json({"fields": {"content": {}, "tool_calls": {
        "open_pattern": "\\s*\\[TOOL_CALLS\\]\\s*(?=[\\[{])", "content": "json",
        "transform": {"function": {"name": "{content.name}", "arguments": "{content.arguments}"}}}}})json",
     .forced = {{.begin = "{\"name\": \"{name}\", \"arguments\": ",
                 .end = "}",
                 .separator = ", ",
                 .before = "[TOOL_CALLS][",
                 .after = "]",
                 .trigger = {}}}},
    {.name = "mistral_args",
     .aliases = "mistral_v11",
     .response_template = R"json({"fields": {"content": {}, "tool_calls": {
        "open_pattern":
          "\\s*\\[TOOL_CALLS\\]\\s*(?P<name>[^\\s\\[\\]{}]+)(?:\\[CALL_ID\\][A-Za-z0-9]*)?(?:\\[ARGS\\])?\\s*(?=\\{)", "content": "json",
        "transform": {"function": {"name": "{name}", "arguments": "{content}"}}}}})json",
     .forced = {{.begin = "[TOOL_CALLS]{name}[ARGS]", .end = "", .separator = "", .before = {}, .after = {}, .trigger = "[TOOL_CALLS]"}}},
    {.name = "phi4_mini",
     .aliases = "phi4_mini_json phi4",
     .response_template = R"json({"fields": {"content": {}, "tool_calls": {
        "open_pattern": "\\s*functools\\s*(?=\\[)", "content": "json",
        "transform": {"function": {"name": "{content.name}", "arguments": "{content.arguments}"}}}}})json",
     .forced = {{.begin = "{\"name\": \"{name}\", \"arguments\": ",
                 .end = "}",
                 .separator = ", ",
                 .before = "functools[",
                 .after = "]",
                 .trigger = {}}}},
    {.name = "granite",
     .aliases = "granite3 granite-20b-fc",
     .response_template = R"json({"fields": {"content": {}, "tool_calls": {
        "open_pattern": "\\s*(?:<\\|tool_call\\|>|<tool_call>)\\s*(?=\\[)", "content": "json",
        "transform": {"function": {"name": "{content.name}", "arguments": "{content.arguments}"}}}}})json",
     .forced = {{.begin = "{\"name\": \"{name}\", \"arguments\": ",
                 .end = "}",
                 .separator = ", ",
                 .before = "<|tool_call|>[",
                 .after = "]",
                 .trigger = {}}}},
    {.name = "gemma4",
     .aliases = "functiongemma",
     .response_template = R"json({"fields": {"content": {},
        "tool_calls": {"open_pattern": "\\s*<\\|tool_call>call:(?P<name>[\\w.\\-]+)", "close": "<tool_call|>", "content": "json",
          "content_args": {"unquoted_keys": true, "string_delims": [["<|\"|>", "<|\"|>"]]},
          "transform": {"function": {"name": "{name}", "arguments": "{content}"}}},
        "tool_calls:function": {"open_pattern": "\\s*<start_function_call>call:(?P<name>[\\w.\\-]+)", "close": "<end_function_call>",
          "content": "json", "content_args": {"unquoted_keys": true, "string_delims": [["<escape>", "<escape>"]]},
          "transform": {"function": {"name": "{name}", "arguments": "{content}"}}}}})json",
     .forced = {{.begin = "<|tool_call>call:{name}",
                 .end = "<tool_call|>",
                 .separator = "",
                 .before = {},
                 .after = {},
                 .trigger = "<|tool_call>",
                 .style = "gemma"}}},
    {.name = "harmony",
     .aliases = "openai gpt_oss openai_gptoss",
     .response_template = R"json({"fields": {"content": {},
        "content:final": {"open_pattern": "(?:<\\|start\\|>assistant)?<\\|channel\\|>(?:final|commentary)\\s*(?:<\\|constrain\\|>\\w+)?<\\|message\\|>",
          "close": ["<|return|>", "<|end|>"]},
        "reasoning": {"open_pattern": "(?:<\\|start\\|>assistant)?<\\|channel\\|>analysis<\\|message\\|>", "close": "<|end|>"},
        "tool_calls": {"open_pattern":
            "(?:<\\|start\\|>assistant)?(?:<\\|channel\\|>(?:commentary|analysis))?\\s+to=functions\\.(?P<name>[\\w.\\-]+)(?:<\\|channel\\|>(?:commentary|analysis))?\\s*(?:<\\|constrain\\|>)?\\s*\\w*<\\|message\\|>",
          "close": ["<|call|>", "<|end|>"], "content": "json",
          "transform": {"function": {"name": "{name}", "arguments": "{content}"}}}}})json",
     .forced = {{.begin = "<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>",
                 .end = "<|call|>",
                 .separator = "<|start|>assistant",
                 .before = {},
                 .after = {},
                 .trigger = "<|channel|>commentary to="}}},
    {.name = "deepseek_v3",
     .aliases = "deepseek_r1",
     .response_template = R"json({"fields": {"content": {},
        "calls_begin": {"open_pattern": "\\s*<｜tool▁calls▁begin｜>\\s*", "close_pattern": ""},
        "calls_end": {"open_pattern": "\\s*<｜tool▁calls▁end｜>", "close_pattern": ""},
        "tool_calls": {"open_pattern":
            "\\s*<｜tool▁call▁begin｜>\\s*function<｜tool▁sep｜>(?P<name>[^\\n<]+)\\n```json\\n",
          "close_pattern": "\\s*(?:```)?\\s*<｜tool▁call▁end｜>", "content": "json",
          "transform": {"function": {"name": "{name}", "arguments": "{content}"}}}}})json",
     .forced = {{.begin = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n",
                 .end = "\n```<｜tool▁call▁end｜>",
                 .separator = "\n",
                 .before = "<｜tool▁calls▁begin｜>",
                 .after = "<｜tool▁calls▁end｜>",
                 .trigger = {}}}},
};

constexpr AnswerFamily kReasoningFamilies[] = {
    {.name = "think",
     .aliases = "qwen3 deepseek_r1 deepseek_v3 olmo3 smollm3 granite glm45 hunyuan_a13b qwq",
     .response_template = R"json({"fields": {"reasoning": {"open_pattern": "^\\s*<think>", "close": "</think>"}}})json",
     .open_token = "<think>",
     .close_token = "</think>"},
    {.name = "mistral",
     .aliases = "magistral",
     .response_template = R"json({"fields": {"reasoning": {"open_pattern": "^\\s*\\[THINK\\]", "close": "[/THINK]"}}})json",
     .open_token = "[THINK]",
     .close_token = "[/THINK]"},
    {.name = "gemma4",
     .aliases = {},
     .response_template = R"json({"fields": {"reasoning": {"open_pattern": "<\\|channel>thought\\n", "close": "<channel|>"}}})json",
     .open_token = "<|channel>",
     .close_token = "<channel|>"},
    {.name = "harmony", .aliases = "openai gpt_oss openai_gptoss", .response_template = R"json({"fields": {
        "content:final": {"open_pattern": "(?:<\\|start\\|>assistant)?<\\|channel\\|>final<\\|message\\|>", "close": ["<|return|>", "<|end|>"]},
        "reasoning": {"open_pattern": "(?:<\\|start\\|>assistant)?<\\|channel\\|>analysis<\\|message\\|>", "close": "<|end|>"}}})json"},
};

// Words of chat templates, the most telling first: a template that fits two rows has the family of the first.
struct Clue {
  std::string_view family, word, other_word;  // both are needed
};
constexpr Clue kCallClues[] = {
    {"deepseek_v3", "<｜tool▁calls▁begin｜>", ""},
    {"harmony", "<|channel|>", ""},
    {"gemma4", "<|tool_call>", ""},
    {"gemma4", "<start_function_call>", ""},
    {"granite", "<|tool_call|>", ""},
    {"phi4_mini", "functools[", ""},
    {"phi4_mini", "<|tool|>", ""},
    {"mistral_list", "[TOOL_CALLS]", ""},
    {"qwen_xml", "<function=", "<parameter="},
    {"pythonic", "<function_calls>", ""},
    {"pythonic", "[func_name1(", ""},
    {"pythonic", "<|tool_call_start|>", ""},
    {"hermes", "<tool_call>", "\"arguments\""},
    {"hermes", "<tool_call>", "arguments"},
    {"llama3_json", "<|python_tag|>", ""},
    {"llama3_json", "\"parameters\"", ""},
};
constexpr Clue kReasoningClues[] = {
    {"harmony", "<|channel|>", ""}, {"gemma4", "<|channel>", ""}, {"mistral", "[THINK]", ""},
    {"think", "<think>", ""},       {"think", "</think>", ""},
};

bool has_family_word(std::string_view list, std::string_view word) {
  const std::string padded = " " + std::string(list) + " ";
  return !word.empty() && padded.find(" " + std::string(word) + " ") != std::string::npos;
}

const AnswerFamily* detect(std::span<const Clue> clues, std::span<const AnswerFamily> families, std::string_view templates) {
  for (const Clue& clue : clues) {
    const bool fits = templates.find(clue.word) != std::string_view::npos && templates.find(clue.other_word) != std::string_view::npos;
    if (fits) return find_family(families, clue.family);
  }
  return nullptr;
}

}  // namespace

std::span<const AnswerFamily> call_families() { return kCallFamilies; }
std::span<const AnswerFamily> reasoning_families() { return kReasoningFamilies; }

const AnswerFamily* find_family(std::span<const AnswerFamily> families, std::string_view name) {
  for (const AnswerFamily& family : families) {
    if (family.name == name || has_family_word(family.aliases, name)) return &family;
  }
  return nullptr;
}

const AnswerFamily* detect_call_family(const AnswerClues& clues) {
  const AnswerFamily* found = detect(kCallClues, kCallFamilies, clues.chat_templates);
  const bool is_mistral = found != nullptr && found->name == "mistral_list";
  return is_mistral && clues.has_args_token ? find_family(kCallFamilies, "mistral_args") : found;
}

const AnswerFamily* detect_reasoning_family(const AnswerClues& clues) {
  return detect(kReasoningClues, kReasoningFamilies, clues.chat_templates);
}

AnswerFormat make_answer_format(const AnswerFamily* calls, const AnswerFamily* reasoning) {
  AnswerFormat format;
  for (const AnswerFamily* family : {reasoning, calls}) {
    if (family == nullptr) continue;
    Result<AnswerFormat> part = AnswerFormat::from_json(Json::parse(family->response_template));
    check(part.has_value(), "expected the formats of this file to be valid");
    for (AnswerField& field : part->fields) {
      const bool is_known = std::ranges::find(format.fields, field.name, &AnswerField::name) != format.fields.end();
      if (!is_known) format.fields.push_back(std::move(field));
    }
  }
  return format;
}

}  // namespace slora
