#include "text/answer_parser.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "base/testing/source_path.h"
#include "formats/json.h"
#include "text/answer_families.h"

namespace slora {
namespace {

// A text as a model writes it, and what it should become; made by tests/answers/make_cases.py.
struct Case {
  std::string what, text, before;
  AnswerFormat format;
  AnswerEnd end = AnswerEnd::finished;
  std::vector<std::string> others;  // "function.parameter" of those that are no strings
  std::vector<AnswerEvent> events;
};

std::vector<AnswerEvent> events_in(const Json& list) {
  std::vector<AnswerEvent> events;
  constexpr std::array<std::string_view, 4> kinds = {"content", "reasoning", "call", "arguments"};
  for (const Json& event : list) {
    const auto kind = std::ranges::find(kinds, event[0].get<std::string>()) - kinds.begin();
    events.push_back({static_cast<AnswerEvent::Kind>(kind), event[1].get<std::string>()});
  }
  return events;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const Json list = read_json_file(source_path("tests/answers/families.json")).value();
  for (const Json& json : list) {
    Case one;
    one.what = json["case"].get<std::string>();
    one.text = json["text"].get<std::string>();
    one.before = json.value("before", "");
    one.format = make_answer_format(find_family(call_families(), json["family"].get<std::string>()),
                                    find_family(reasoning_families(), json.value("reasoning", "")));
    one.end = json.value("end", "") == "cut" ? AnswerEnd::cut : AnswerEnd::finished;
    one.others = json.value("others", std::vector<std::string>());
    one.events = events_in(json["events"]);
    cases.push_back(std::move(one));
  }
  return cases;
}

// Joins what a stream's reader joins.
void append(std::vector<AnswerEvent>& events, const std::vector<AnswerEvent>& more) {
  for (const AnswerEvent& event : more) {
    const bool continues = !events.empty() && events.back().kind == event.kind && event.kind != AnswerEvent::Kind::call;
    if (continues) {
      events.back().text += event.text;
    } else {
      events.push_back(event);
    }
  }
}

AnswerParser::Options options_of(const Case& one) {
  return {.finds_calls = true, .kind_of = [&one](std::string_view function, std::string_view parameter) {
            const std::string name = std::string(function) + "." + std::string(parameter);
            return std::ranges::find(one.others, name) == one.others.end() ? ValueKind::text : ValueKind::other;
          }};
}

// `cuts`: ends of all pieces but the last.
std::vector<AnswerEvent> parsed(const Case& one, const std::vector<std::size_t>& cuts) {
  AnswerParser parser(one.format, options_of(one));
  parser.continue_from(one.before);
  std::vector<AnswerEvent> events;
  std::size_t at = 0;
  for (const std::size_t cut : cuts) {
    append(events, parser.push(std::string_view(one.text).substr(at, cut - at)));
    at = cut;
  }
  append(events, parser.push(std::string_view(one.text).substr(at)));
  append(events, parser.finish(one.end));
  return events;
}

std::string shown_events(const std::vector<AnswerEvent>& events) {
  std::string out;
  for (const AnswerEvent& event : events) out += fmt::format("{} {}\n", static_cast<int>(event.kind), quote(event.text));
  return out;
}

TEST(AnswerParser, TakesRecordedAnswersApart) {
  for (const Case& one : all_cases()) {
    const std::vector<AnswerEvent> events = parsed(one, {});
    EXPECT_EQ(events, one.events) << one.what << "\n" << shown_events(events);
  }
}

TEST(AnswerParser, GivesTheSameEventsHoweverAnAnswerIsCut) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  for (const Case& one : all_cases()) {
    std::vector<std::size_t> each(one.text.size() - 1);
    for (std::size_t i = 0; i < each.size(); ++i) each[i] = i + 1;
    EXPECT_EQ(parsed(one, each), one.events) << one.what << ", byte by byte";
    for (const std::size_t cut : each) EXPECT_EQ(parsed(one, {cut}), one.events) << one.what << ", cut at " << cut;
    for (int i = 0; i < 100; ++i) {
      std::vector<std::size_t> cuts;
      std::ranges::copy_if(each, std::back_inserter(cuts), [&](std::size_t) { return random() % 16 == 0; });
      EXPECT_EQ(parsed(one, cuts), one.events) << one.what << ", cut at " << fmt::format("{}", fmt::join(cuts, " "));
    }
  }
}

// What has been sent is never taken back: the events of a shorter answer, before its end is known, begin the longer one's.
TEST(AnswerParser, SendsNothingThatMoreTextWouldChange) {
  for (const Case& one : all_cases()) {
    AnswerParser parser(one.format, options_of(one));
    parser.continue_from(one.before);
    std::vector<AnswerEvent> so_far;
    for (const char c : one.text) {
      append(so_far, parser.push({&c, 1}));
      ASSERT_LE(so_far.size(), one.events.size()) << one.what;
      for (std::size_t i = 0; i < so_far.size(); ++i) {
        ASSERT_EQ(so_far[i].kind, one.events[i].kind) << one.what;
        ASSERT_TRUE(one.events[i].text.starts_with(so_far[i].text)) << one.what;
      }
    }
  }
}

// Wherever an answer is cut, whatever stood between its marks is there: as content while no call has its name, then as its arguments.
TEST(AnswerParser, LosesNothingOfACutAnswer) {
  for (const Case& one : all_cases()) {
    if (one.what != "hermes: one call") continue;
    for (std::size_t bytes = 1; bytes < one.text.size(); ++bytes) {
      Case cut = one;
      cut.text.resize(bytes);
      cut.end = AnswerEnd::cut;
      const std::vector<AnswerEvent> events = parsed(cut, {});
      const std::size_t name_end = one.text.find("\", \"arguments\"") + 1, begin = one.text.find("{\"city\"");
      if (bytes < name_end) {
        ASSERT_EQ(events.size(), 1U);
        EXPECT_EQ(events[0], (AnswerEvent{AnswerEvent::Kind::content, cut.text}));
        continue;
      }
      ASSERT_GE(events.size(), 1U);
      EXPECT_EQ(events[0], (AnswerEvent{AnswerEvent::Kind::call, "get_weather"}));
      const std::string arguments = events.size() > 1 ? events[1].text : "";
      const std::string whole = one.events[1].text;
      EXPECT_EQ(arguments, whole.substr(0, bytes > begin ? bytes - begin : 0)) << bytes;
    }
  }
}

TEST(AnswerParser, StreamsEveryCutAnswerAsItGivesItWhole) {
  for (const Case& one : all_cases()) {
    for (std::size_t bytes = 1; bytes < one.text.size(); ++bytes) {
      Case cut = one;
      cut.text.resize(bytes);
      cut.end = AnswerEnd::cut;
      EXPECT_EQ(parsed(cut, {bytes / 3, bytes / 2}), parsed(cut, {})) << one.what << ", " << bytes << " bytes";
    }
  }
}

TEST(AnswerParser, LeavesCallsInTheContentWhereNoneAreLookedFor) {
  const AnswerFormat format = make_answer_format(find_family(call_families(), "hermes"), find_family(reasoning_families(), "think"));
  AnswerParser parser(format, {.finds_calls = false, .kind_of = {}});
  std::vector<AnswerEvent> events = parser.push("<think>a</think><tool_call>{\"name\": \"f\"}</tool_call>");
  append(events, parser.finish(AnswerEnd::finished));
  EXPECT_EQ(events, (std::vector<AnswerEvent>{{AnswerEvent::Kind::reasoning, "a"},
                                              {AnswerEvent::Kind::content, "<tool_call>{\"name\": \"f\"}</tool_call>"}}));
}

Case case_of(const AnswerFormat& format, std::string text, std::string before) {
  Case one;
  one.format = format;
  one.text = std::move(text);
  one.before = std::move(before);
  return one;
}

AnswerFormat own_format(const char* text) { return AnswerFormat::from_json(Json::parse(text)).value(); }

TEST(AnswerFormat, FollowsAModelsOwnTemplate) {
  // As transformers' documentation has it for Qwen 3.5 and Gemma 4.
  const AnswerFormat qwen = own_format(R"json({"version": 1, "defaults": {"role": "assistant"}, "start_anchor": "<|im_start|>assistant\n",
    "fields": {"thinking": {"open": "<think>", "close": "</think>", "content": "text"},
      "tool_calls": {"open_pattern": "\\s*<tool_call>\\s*<function=(?P<name>[^>\\n]+)>", "close_pattern": "</function>\\s*</tool_call>",
        "repeats": true, "content": "xml-inline",
        "content_args": {"tag_pattern": "<parameter=(?P<key>[^>\\n]+)>\\s*(?P<value>.*?)\\s*</parameter>"},
        "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}}},
      "content": {"close_pattern": "\\s*(?:<\\|im_end\\|>|<\\|endoftext\\|>)", "content": "text"}}})json");
  const Case one =
      case_of(qwen, "Hm.</think>\n\nHello.\n<tool_call>\n<function=f>\n<parameter=a>\nb\n</parameter>\n</function>\n</tool_call><|im_end|>",
              "<think>\n");
  EXPECT_EQ(parsed(one, {}), (std::vector<AnswerEvent>{{AnswerEvent::Kind::reasoning, "Hm."},
                                                       {AnswerEvent::Kind::content, "Hello."},
                                                       {AnswerEvent::Kind::call, "f"},
                                                       {AnswerEvent::Kind::arguments, R"({"a": "b"})"}}));
  const AnswerFormat calls = own_format(R"json({"start_anchor": "x", "fields": {"content": {}, "tool_calls": {"open": "<call>", "close":
    "</call>", "content": "json", "content_args": {"unquoted_keys": true}, "transform": {"function": "{content}"}, "repeats": true}}})json");
  EXPECT_EQ(parsed(case_of(calls, "<call>{name: \"f\", arguments: {a: 1}}</call>", ""), {3, 9, 20}),
            (std::vector<AnswerEvent>{{AnswerEvent::Kind::call, "f"}, {AnswerEvent::Kind::arguments, R"({"a": 1})"}}));
}

TEST(AnswerFormat, RefusesTemplatesByFieldAndKey) {
  const auto refusal = [](const char* text) { return AnswerFormat::from_json(Json::parse(text)).error().message; };
  EXPECT_EQ(refusal(R"({"fields": {"content": {"opens": "x"}}})"), "response_template.fields.content: \"opens\" is no known key");
  EXPECT_EQ(refusal(R"({"version": 2, "fields": {"content": {}}})"), "response_template.version: expected 1, found 2");
  EXPECT_EQ(refusal(R"({"fields": {}})"), "response_template.fields: expected an object with 1 to 32 fields");
  EXPECT_EQ(refusal(R"({"fields": {"content": {}, "thinking": {}}})"),
            "response_template.fields.thinking: expected one field without an opening mark at most");
  EXPECT_EQ(refusal(R"({"fields": {"tool_calls": {"open": "x", "content": "text"}}})"),
            "response_template.fields.tool_calls.content: expected json, xml-inline or python-call-list for tool calls, found \"text\"");
  EXPECT_NE(refusal(R"({"fields": {"content": {"open_pattern": "("}}})").find("missing closing parenthesis"), std::string::npos);
}

TEST(AnswerFamilies, AreFoundInChatTemplates) {
  const auto calls = [](std::string_view text, bool has_args = false) {
    const AnswerFamily* family = detect_call_family({text, has_args});
    return family == nullptr ? std::string_view() : family->name;
  };
  EXPECT_EQ(calls("{{ '<tool_call>' }} {\"name\": ..., \"arguments\": ...}"), "hermes");
  EXPECT_EQ(calls("<tool_call><function=x><parameter=y>"), "qwen_xml");
  EXPECT_EQ(calls("[TOOL_CALLS]"), "mistral_list");
  EXPECT_EQ(calls("[TOOL_CALLS]", true), "mistral_args");
  EXPECT_EQ(calls("{% for m in messages %}{{ m.content }}{% endfor %}"), "");
  EXPECT_EQ(detect_reasoning_family({"x</think>y", false})->name, "think");
  EXPECT_EQ(detect_reasoning_family({"x", false}), nullptr);
  EXPECT_EQ(find_family(call_families(), "qwen3_coder")->name, "qwen_xml");
  EXPECT_EQ(find_family(call_families(), ""), nullptr);
}

}  // namespace
}  // namespace slora
