#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "formats/json.h"

namespace slora {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

Json context() {
  return Json::parse(R"({
    "messages": [{"role": "system", "content": " Be kind. "}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": null}],
    "bos_token": "<s>", "n": 7, "f": 2.5, "yes": true, "nothing": null, "word": "hello world", "numbers": [3, 1, 2],
    "letters": ["b", "A", "c"], "table": {"b": 1, "A": [1, 2.5, null, true], "c": {"d": "\u00fc<\"'"}}})");
}

Result<std::string> try_render(const std::string& source, const Json& values = context()) {
  Result<ChatTemplate> parsed = ChatTemplate::parse(source);
  if (!parsed) return forward_error(parsed);
  return parsed->render(values);
}

// The rendered text, or the error message.
std::string render(const std::string& source) {
  const Result<std::string> text = try_render(source);
  return text ? *text : text.error().message;
}

std::string show(const std::string& expression) { return render("{{ " + expression + " }}"); }

TEST(ChatTemplate, RendersPublishedTemplatesAsTheReference) {
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator(source_path("tests/golden/chat"))) {
    const Result<Json> golden = read_json_file(file.path());
    ASSERT_TRUE(golden.has_value()) << file.path();
    const Result<ChatTemplate> chat = ChatTemplate::parse(golden->at("template").get<std::string>());
    ASSERT_TRUE(chat.has_value()) << file.path() << chat.error().message;
    for (const Json& entry : golden->at("cases")) {
      Json values = {{"messages", entry.at("messages")}, {"add_generation_prompt", entry.at("add_generation_prompt")}};
      for (const char* token : {"bos_token", "eos_token"}) {
        if (!golden->at(token).is_null()) values[token] = golden->at(token);
      }
      if (entry.contains("variables")) values.update(entry.at("variables"));
      const Result<std::string> text = chat->render(values);
      if (entry.contains("text")) {
        EXPECT_EQ(text ? *text : text.error().message, entry.at("text").get<std::string>()) << file.path() << entry;
      } else {
        ASSERT_FALSE(text.has_value()) << file.path() << entry;
        EXPECT_EQ(text.error().message, entry.at("error").get<std::string>());
        EXPECT_EQ(text.error().code, "invalid_request_error");
      }
    }
    ++files;
  }
  EXPECT_GE(files, 9);
}

TEST(ChatTemplate, RemovesWhiteSpaceAroundTagsAsTransformers) {
  EXPECT_EQ(render("a\n  {% if yes %}  \n b\n  {% endif %}\nc\n"), "a\n  \n b\nc");
  EXPECT_EQ(render("a\n{% if yes %}\n b\n{% endif %}\nc"), "a\n b\nc");
  EXPECT_EQ(render("a \n {%- if yes -%} \n b {%- endif %} c"), "ab c");
  EXPECT_EQ(render("a\n  {%+ if yes +%}\nb{% endif %}"), "a\n  \nb");
  EXPECT_EQ(render("x\n   {{ n }}\n   {{- n -}}\n  y"), "x\n   77y");
  EXPECT_EQ(render("{# one #}\nx {#- two -#}  y"), "xy");
  EXPECT_EQ(render("{% raw %}{{ n }}{% if %}{% endraw %}\n{{ n }}"), "{{ n }}{% if %}7");
  EXPECT_EQ(render("a\r\nb\r{{ n }}\n\n"), "a\nb\n7\n");
}

TEST(ChatTemplate, ComputesAsPython) {
  EXPECT_EQ(show("1 + 2 * 3 - -1"), "8");
  EXPECT_EQ(show("[-7 // 2, -7 % 3, 7 / 2, 7 // 2.0]"), "[-4, 2, 3.5, 3.0]");
  EXPECT_EQ(show("'a' ~ 1 ~ nothing ~ yes"), "a1NoneTrue");
  EXPECT_EQ(show("[1, 2] + [3] == [1, 2, 3.0]"), "True");
  EXPECT_EQ(show("1 < 2 < 3 and 'ell' in word and 9 not in numbers"), "True");
  EXPECT_EQ(show("nothing or '' or 'x' if not nothing else 'y'"), "x");
  EXPECT_EQ(show("[1e16, 1e-5, 0.1 + 0.2, 100.0, 123456789.125]"), "[1e+16, 1e-05, 0.30000000000000004, 100.0, 123456789.125]");
  EXPECT_EQ(show("['it\\'s', 'a\"b', '\\n\\x01\\u00e9\\u200b']"), R"(["it's", 'a"b', '\n\x01é\u200b'])");
  EXPECT_THAT(show("1 // 0"), HasSubstr("division by zero"));
  EXPECT_THAT(show("9223372036854775807 + 1"), HasSubstr("too large"));
  EXPECT_THAT(show("'a' + 1"), HasSubstr("unsupported operands for +: str and int"));
}

TEST(ChatTemplate, SlicesAndIndexesByCharacter) {
  EXPECT_EQ(show("word[0] ~ word[-1] ~ word[1:3] ~ word[::-1]"), "hdeldlrow olleh");
  EXPECT_EQ(show("'日本語'[1:] ~ '日本語'|length"), "本語3");
  EXPECT_EQ(show("numbers[::-1] ~ numbers[:-1] ~ numbers[5:] ~ (numbers[9] is defined)"), "[2, 1, 3][3, 1][]False");
}

TEST(ChatTemplate, KnowsFilters) {
  EXPECT_EQ(show("table | tojson"), R"({"b": 1, "A": [1, 2.5, null, true], "c": {"d": "ü<\"'"}})");
  EXPECT_EQ(show("{'a': [1, {}], 'b': []} | tojson(indent=2)"), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
  EXPECT_EQ(show("'a\\nb\\n\\nc' | indent(2)"), "a\n  b\n\n  c");
  EXPECT_EQ(show("missing | default('x') ~ '' | default('y', true)"), "xy");
  EXPECT_EQ(show("letters | sort | join(',') ~ numbers | sort(reverse=true) ~ letters | map('upper') | list"),
            "A,b,c[3, 2, 1]['B', 'A', 'C']");
  EXPECT_EQ(show("messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | first"), "Hi");
  EXPECT_EQ(show("messages | rejectattr('content') | list | length"), "1");
  EXPECT_EQ(show("numbers | select('gt', 1) | list ~ numbers | reject('odd') | list"), "[3, 2][2]");
  EXPECT_EQ(show("table | dictsort | map('first') | join ~ (table | items | list | length)"), "Abc3");
  EXPECT_EQ(show("[1, 1, 'a', 'A'] | unique | list ~ numbers | max ~ numbers | min"), "[1, 'a']31");
  EXPECT_EQ(show("['5' | int, 'x' | int(9), '2.5' | float]"), "[5, 9, 2.5]");
  EXPECT_EQ(show("'\u00e0b \u0105c(d' | title"), "Àb Ąc(D");
  EXPECT_EQ(show("word | title ~ word | capitalize ~ ('<a>' | safe + '<b>') ~ '<c>' ~ ' x ' | trim"),
            "Hello WorldHello world<a>&lt;b&gt;<c>x");
}

TEST(ChatTemplate, KnowsMethods) {
  EXPECT_EQ(show("'</think>ok'.split('</think>')[-1].lstrip('\\n') ~ ' a b '.split() ~ 'a.b.c'.rsplit('.', 1)"),
            "ok['a', 'b']['a.b', 'c']");
  EXPECT_EQ(show("word.startswith(('x', 'he')) ~ word.endswith('d') ~ word.find('o') ~ word.count('l')"), "TrueTrue43");
  EXPECT_EQ(show("word.replace('l', 'L', 1) ~ ','.join(letters) ~ 'xxa'.removeprefix('x') ~ '<{}|{{}}{}>'.format(n, none)"),
            "heLlo worldb,A,cxa<7|{}None>");
  EXPECT_EQ(show("table.items() | list | length ~ table.get('z', 5) ~ table.keys() | list ~ table.c.d"), "35['b', 'A', 'c']ü<\"'");
  EXPECT_THAT(show("numbers.append(1)"), HasSubstr("'append' of a list is undefined or not supported"));
}

TEST(ChatTemplate, RunsLoops) {
  EXPECT_EQ(
      render("{% for i in numbers %}{{ loop.index }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }};{% endfor %}"),
      "12TrueFalse;21FalseFalse3;30FalseTrue1;");
  EXPECT_EQ(render("{% for k, v in table.items() if k != 'c' %}{{ k }}{{ loop.length }}{% endfor %}"), "b2A2");
  EXPECT_EQ(render("{% for i in numbers %}{% for k in letters %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %};{% endfor %}"),
            "101010;101010;101010;")
      << "only recursive loops are deeper";
  EXPECT_EQ(render("{% for i in [] %}x{% else %}none{% endfor %}{% for i in missing %}x{% endfor %}"), "none");
  EXPECT_EQ(render("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i > 3 %}{% break %}{% endif %}{{ i }}{% endfor %}"), "023");
  EXPECT_EQ(render("{% set x = 1 %}{% for i in numbers %}{{ x }}{% set x = i %}{% endfor %}{{ x }}"), "1111");
  EXPECT_EQ(render("{% set ns = namespace(x=0) %}{% for i in numbers %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}"), "6");
}

// `loop` is made where the word is in the body only.
TEST(ChatTemplate, GivesLoopToWhateverNamesItInTheBody) {
  EXPECT_EQ(render("{% for i in numbers %}{% if i > 1 %}{{ [1] | map('string') | join ~ loop.index }}{% endif %}{% endfor %}"), "1113");
  EXPECT_EQ(render("{% for i in [7, 8] %}{% macro f() %}{{ loop.index }}{% endmacro %}{% for j in [9] %}{{ f() }}{% endfor %}{% endfor %}"),
            "12");
  EXPECT_EQ(render("{% for i in [7, 8] %}{% for j in [9] %}{% else %}{{ loop.index }}{% endfor %}{{ loop is defined }}{% endfor %}"),
            "TrueTrue");
  EXPECT_EQ(render("{% for i in [7, 8] %}{{ loop.nextitem }}{{ loop.previtem is defined }}{% endfor %}"), "8FalseTrue");
}

TEST(ChatTemplate, RunsMacrosAndBlocks) {
  EXPECT_EQ(render("{% macro f(a, b=2) %}{{ a }}-{{ b }} {% endmacro %}{{ f(1) }}{{ f(b=3, a=n) }}"), "1-2 7-3 ");
  EXPECT_EQ(render("{% macro f(x) %}{{ x }}{% if x > 1 %}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(3) }}"), "321");
  EXPECT_THAT(render("{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}"), HasSubstr("the macro 'f' takes at most 1 arguments, 2 were given"));
  EXPECT_THAT(render("{% macro f(a) %}{% endmacro %}{{ f(b=2) }}"), HasSubstr("the macro 'f' has no argument 'b'"));
  EXPECT_EQ(render("{% set x %}a {{ n }}{% endset %}{{ x | upper }}{% with y = 1 %}{{ y }}{% endwith %}"), "A 71");
  EXPECT_EQ(render("{% generation %}{{ n }}{% endgeneration %}"), "7");
}

// The parts of the text that the template marks, each in brackets.
std::string render_marks(const std::string& source) {
  const MarkedText rendered = ChatTemplate::parse(source).value().render_marked(context()).value();
  std::string text = rendered.text;
  for (auto range = rendered.answers.rbegin(); range != rendered.answers.rend(); ++range) {
    text.insert(range->end, "]").insert(range->begin, "[");
  }
  return text + (rendered.has_marks ? "" : " unmarked");
}

TEST(ChatTemplate, SaysWhatItMarksAsTheAssistants) {
  EXPECT_EQ(render_marks("{{ word }}"), "hello world unmarked");
  EXPECT_EQ(render_marks("{% if not yes %}{% generation %}x{% endgeneration %}{% endif %}y"), "y");
  EXPECT_EQ(render_marks("{% for m in messages %}{{ m.role }}{% generation %}{{ m.content }};{% endgeneration %}{% endfor %}"),
            "system[ Be kind. ;]user[Hi;]assistant[None;]");
  EXPECT_EQ(render_marks("a {%- generation -%} b {%- endgeneration %} c"), "a[b] c");
  EXPECT_EQ(render_marks("{% generation %}a{% generation %}b{% endgeneration %}c{% endgeneration %}d"), "[abc]d");
  EXPECT_EQ(render_marks("{% for n in numbers %}{% generation %}{{ n }}{% break %}{% endgeneration %}{% endfor %}d"), "[3]d");
  EXPECT_EQ(render_marks("{% set x %}{% generation %}a{% endgeneration %}{% endset %}{{ x }}"), "a");
}

TEST(ChatTemplate, TreatsUndefinedAsJinja) {
  EXPECT_EQ(render("[{{ missing }}{{ messages[2].name }}]{% if missing %}x{% endif %}{{ missing is defined }}"), "[]False");
  EXPECT_THAT(show("missing.name"), HasSubstr("line 1: 'missing' is undefined"));
  EXPECT_THAT(show("messages[0].a.b"), HasSubstr("'a' of a dict is undefined"));
  EXPECT_THAT(show("missing + 'x'"), HasSubstr("'missing' (undefined)"));
}

TEST(ChatTemplate, NamesWhatIsUnsupportedWithItsLine) {
  EXPECT_THAT(render("a\n{% include 'x' %}"), HasSubstr("line 2: the tag 'include' is not supported"));
  EXPECT_THAT(render("\n\n{{ n | groupby('x') }}"), HasSubstr("line 3: the filter 'groupby' is not supported"));
  EXPECT_THAT(render("{{ n is later }}"), HasSubstr("line 1: the test 'later' is not supported"));
  EXPECT_THAT(render("\n{{ joiner(',') }}"), HasSubstr("line 2: 'joiner' is undefined or not supported"));
  EXPECT_THAT(render("\n{% if n %}"), HasSubstr("endif"));
  EXPECT_THAT(render("{{ n"), HasSubstr("not closed"));
  EXPECT_THAT(render("{{ 'n }}"), HasSubstr("not closed"));
  EXPECT_THAT(render("{{ n + }}"), HasSubstr("expected an expression"));
  EXPECT_THAT(render("{% break %}"), HasSubstr("outside of a loop"));
}

// Parts of Jinja that no published chat template uses.
TEST(ChatTemplate, RefusesByNameWhatPublishedTemplatesDoNotUse) {
  for (const char* filter :
       {"abs",    "attr",  "batch", "center",    "e",   "escape",   "filesizeformat", "forceescape", "format",    "groupby",  "pprint",
        "random", "round", "slice", "striptags", "sum", "truncate", "urlencode",      "urlize",      "wordcount", "wordwrap", "xmlattr"}) {
    const std::string expected = fmt::format("line 1: the filter '{}' is not supported", filter);
    EXPECT_THAT(show(fmt::format("word | {}", filter)), HasSubstr(expected));
    EXPECT_THAT(show(fmt::format("letters | map('{}') | list", filter)), HasSubstr(expected));
  }
  for (const char* test : {"escaped", "filter", "lower", "test", "upper"}) {
    const std::string expected = fmt::format("line 1: the test '{}' is not supported", test);
    EXPECT_THAT(show(fmt::format("word is {}", test)), HasSubstr(expected));
    EXPECT_THAT(show(fmt::format("letters | select('{}') | list", test)), HasSubstr(expected));
  }
  for (const char* method : {"casefold",  "center",    "encode",  "expandtabs", "format_map", "index",    "isalnum",   "isalpha",
                             "isascii",   "isdecimal", "isdigit", "islower",    "isnumeric",  "isspace",  "isupper",   "ljust",
                             "partition", "rfind",     "rindex",  "rjust",      "rpartition", "swapcase", "translate", "zfill"}) {
    EXPECT_THAT(show(fmt::format("word.{}(1)", method)),
                HasSubstr(fmt::format("line 1: '{}' of a str is undefined or not supported", method)));
  }
  for (const char* change : {"| trim", "| upper", "| indent", "| reverse", ".strip()", "[0]", "[1:]", "* 2"}) {
    EXPECT_THAT(show(fmt::format("(word | safe) {}", change)), HasSubstr("changing text marked by the filter 'safe' is not supported"));
  }
  EXPECT_THAT(show("'%s' % n"), HasSubstr("line 1: formatting a string with % is not supported"));
  for (const char* field : {"{0}", "{a}", "{:>8}", "{!r}", "{", "}"}) {
    EXPECT_THAT(show(fmt::format("'{}'.format(n)", field)), HasSubstr("line 1: 'format' supports fields of the form {} only")) << field;
  }
  EXPECT_THAT(show("'{}{}'.format(n)"), HasSubstr("'format' has more fields than arguments"));
  EXPECT_THAT(show("word.find('l', 3)"), HasSubstr("line 1: find takes at most 1 arguments, 2 were given"));
  EXPECT_THAT(show("2 ** 3"), HasSubstr("line 1: expected '}}', found '**'"));
  EXPECT_THAT(show("word.rsplit()"), HasSubstr("line 1: rsplit without a separator is not supported"));
  EXPECT_THAT(show("'ff' | int(0, 16)"), HasSubstr("line 1: int takes at most 1 arguments, 2 were given"));
  EXPECT_THAT(render("{% for x in letters %}{{ loop.cycle('a', 'b') }}{% endfor %}"), HasSubstr("line 1: 'loop.cycle' is not supported"));
  EXPECT_THAT(render("{% for x in letters %}{% if loop.changed(x) %}{{ x }}{% endif %}{% endfor %}"),
              HasSubstr("line 1: 'loop.changed' is not supported"));
  EXPECT_THAT(show("range(5)[1:]"), HasSubstr("line 1: range can't be sliced"));
  EXPECT_THAT(show("range(*numbers)"), HasSubstr("line 1: a spread argument ('*') is not supported"));
  EXPECT_THAT(show("dict(**table)"), HasSubstr("line 1: a spread argument ('**') is not supported"));
  EXPECT_THAT(render("\n{% filter upper %}a{% endfilter %}"), HasSubstr("line 2: the tag 'filter' is not supported"));
  EXPECT_THAT(render("\n{% call f() %}a{% endcall %}"), HasSubstr("line 2: the tag 'call' is not supported"));
  EXPECT_THAT(render("{% set x | upper %}a{% endset %}"), HasSubstr("line 1: a filter on a 'set' block is not supported"));
  for (const char* name : {"varargs", "kwargs", "caller"}) {
    EXPECT_THAT(render(fmt::format("{{% macro f() %}}{{{{ {} }}}}{{% endmacro %}}", name)),
                HasSubstr(fmt::format("'{}' is not supported", name)));
  }
}

TEST(ChatTemplate, ReturnsTheMessageOfRaiseExceptionToTheClient) {
  const Result<std::string> text = try_render("{{ raise_exception('Roles must alternate: ' ~ n) }}{{ missing.x }}");
  ASSERT_FALSE(text.has_value());
  EXPECT_EQ(text.error().code, "invalid_request_error");
  EXPECT_EQ(text.error().message, "Roles must alternate: 7");
}

TEST(ChatTemplate, StopsAtItsLimitOfSteps) {
  const auto expect_stop = [](const std::string& source) {
    EXPECT_THAT(render(source), HasSubstr("the template takes too many steps")) << source;
  };
  std::string sum = "1";
  for (int i = 0; i < 40; ++i) sum += " + 1";
  expect_stop("{% for i in range(9999) %}{% if " + sum + " %}{% endif %}{% endfor %}");
  expect_stop("{{ range(9999) | unique | list | length }}");
  expect_stop("{% set x = 'x' * 9999 %}{% for i in range(9999) %}{% if x == x %}{% endif %}{% endfor %}");
}

TEST(ChatTemplate, StopsAtItsLimitOfMemory) {
  const auto expect_stop = [](const std::string& source) {
    EXPECT_THAT(render(source), HasSubstr("the template takes too much memory")) << source;
  };
  expect_stop("{% set ns = namespace(x='x') %}{% for a in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}");
  expect_stop("{% for a in range(9999) %}{% set x = 'x' * 99999 %}{% endfor %}");
  expect_stop("{% set ns = namespace(x=[1]) %}{% for a in range(25) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}");
  expect_stop("{{ 'x' * 99999999999 }}");
  expect_stop("{{ ([1] * 10000000) | length }}");
  expect_stop("{{ ('a' * 100000).replace('a', 'b' * 100000) }}");
  expect_stop("{{ range(9999) | join('x' * 99999) }}");
  expect_stop("{{ ('x ' * 50000).split() | length }}");
  expect_stop("{% set ns = namespace(x='x') %}{% for a in range(99) %}{% set ns.x = '{}{}'.format(ns.x, ns.x) %}{% endfor %}");
  expect_stop("{% set ns = namespace(x=[]) %}{% for a in range(99) %}{% set ns.x = ns.x + [range(9999)] %}{% endfor %}");
}

TEST(ChatTemplate, StopsWhatNeverEnds) {
  for (const char* source : {"{% macro f(n) %}{% for i in range(2) %}{{ f(n + 1) if n < 90 }}{% endfor %}{% endmacro %}{{ f(0) }}",
                             "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
                             "{% for i in range(9999) %}{% for j in range(9999) %}{{ loop.index }}{% endfor %}{% endfor %}",
                             "{% set s = range(9999) | list %}{% for i in range(9999) %}{{ -1 in s }}{% endfor %}",
                             "{% for i in range(9999) %}{% set ns = namespace(a=i) %}{% endfor %}{% for i in range(9999) %}{% set ns = "
                             "namespace(a=i) %}{% endfor %}"}) {
    EXPECT_THAT(render(source), AnyOf(HasSubstr("too many steps"), HasSubstr("too much memory"))) << source;
  }
}

// What costs more than a byte that is copied: each of these took seconds where only bytes were counted.
TEST(ChatTemplate, StopsExpensiveStepsAsEarlyAsCheapOnes) {
  for (const char* call : {"x | title", "x | upper", "x.lower()", "x.title()", "[x] | string", "x | tojson", "x.replace('a', '')",
                           "x.count('a')", "x[::-1]", "x.strip('zyxwvutsrqponmlkjihgfedcba')", "x | list", "x.split('b')", "x | float"}) {
    const std::string source = "{% set x = 'a\n' * 5000 %}{% for i in range(999) %}{% set y = " + std::string(call) + " %}{% endfor %}";
    EXPECT_THAT(render(source), AnyOf(HasSubstr("too many steps"), HasSubstr("too much memory"))) << call;
  }
}

TEST(ChatTemplate, StopsAtItsLimitOfOutput) {
  const std::string text(1000, 'x');
  EXPECT_THAT(render("{% for a in range(400) %}" + text + "{% endfor %}"), HasSubstr("the rendered text is too long"));
}

// With a short conversation values take half a megabyte at most, and the output a quarter. A value that is put out is copied, so it reaches
// the limit of memory before that of the output.
TEST(ChatTemplate, TakesLessThanAMegabyte) {
  EXPECT_THAT(render("{% set x = 'x' * 600000 %}"), HasSubstr("the template takes too much memory"));
  EXPECT_THAT(render("{% set x = 'x' * 100000 %}{% for a in range(70) %}{{ x }}{% endfor %}"),
              HasSubstr("the template takes too much memory"));
  EXPECT_EQ(render("{% for a in range(200) %}" + std::string(1000, 'x') + "{% endfor %}").size(), 200'000u);
}

// The limits grow with the conversation: a published template's cost does too.
TEST(ChatTemplate, RendersLongConversationsWithPublishedTemplates) {
  const std::string sentence = "The queen found a rusty key in the garden.\n";
  std::string kilobyte;
  while (kilobyte.size() < 1000) kilobyte += sentence;
  const auto conversation = [](std::size_t count, const std::string& content) {
    Json messages = Json::array();
    for (std::size_t i = 0; i < count; ++i) messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", content}});
    return Json{{"messages", std::move(messages)}, {"bos_token", "<s>"}, {"eos_token", "</s>"},
                {"add_generation_prompt", true},   {"tools", nullptr},   {"documents", nullptr}};
  };
  std::string megabyte;
  while (megabyte.size() < 1'000'000) megabyte += sentence;
  const std::vector<Json> conversations = {conversation(1000, kilobyte), conversation(5000, "Hi"), conversation(1, megabyte)};
  for (const char* name : {"chatml_blocks", "gemma2", "gemma3", "granite", "llama2", "llama3", "llama31", "mistral", "mistral_v3", "olmo2",
                           "phi3", "phi4_mini", "qwen2", "qwen25", "qwen3"}) {
    const std::string source = read_text_file(source_path(fmt::format("tests/corpora/chat_template/{}.jinja", name)), 1 << 20).value();
    for (const Json& values : conversations) {
      const Result<std::string> text = try_render(source, values);
      ASSERT_TRUE(text) << name << ": " << text.error().message;
      EXPECT_GT(text->size(), values["messages"].size() * values["messages"][0]["content"].get_ref<const std::string&>().size()) << name;
    }
  }
}

TEST(ChatTemplate, RefusesSourcesOfTooManyTokens) {
  const auto repeated = [](std::string_view part, int count) {
    std::string source;
    for (int i = 0; i < count; ++i) source += part;
    return source;
  };
  for (const std::string& source :
       {repeated("{{ 1 }}", 20'000), "{{ 1" + repeated(" + 1", 20'000) + " }}", repeated("{% set a = 1 %}", 9'000)}) {
    EXPECT_THAT(render(source), HasSubstr("more than 30000 names, numbers and symbols"));
  }
}

TEST(ChatTemplate, StopsAtItsLimitsOfDepth) {
  EXPECT_THAT(render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), HasSubstr("the template nests too deeply"));
  for (const char* deeper : {"[ns.x]", "(ns.x,)", "{'x': ns.x}", "[ns.x] | map('list')", "[ns.x].index", "{'x': ns.x}.items()"}) {
    const std::string source =
        "{% set ns = namespace(x=[]) %}{% for a in range(999) %}{% set ns.x = " + std::string(deeper) + " %}{% endfor %}";
    EXPECT_THAT(render(source), HasSubstr("values are nested too deeply")) << source;
  }
  EXPECT_THAT(render(std::string(9999, '{')), HasSubstr("line 1"));
  EXPECT_THAT(show(std::string(9999, '(') + "1" + std::string(9999, ')')), HasSubstr("nested too deeply"));
  EXPECT_THAT(show(std::string(9999, '-') + "1"), HasSubstr("nested too deeply"));
  std::string blocks;
  for (int i = 0; i < 999; ++i) blocks += "{% if n %}";
  EXPECT_THAT(render(blocks), HasSubstr("nested too deeply"));
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns.me.me is defined }}"), "True");  // without a leak
}

TEST(ChatTemplate, ReadsSourcesUpToAMegabyte) {
  const std::size_t bytes_max = std::size_t{1} << 20;
  EXPECT_EQ(render(std::string(bytes_max, 'x')).size(), bytes_max);
  EXPECT_EQ(render(std::string(bytes_max + 1, 'x')), "the chat template has 1048577 bytes, at most 1048576 are read");
}

// A value that contains another twice, over 60 levels, is small in memory, but a traversal visits 2^60 members.
TEST(ChatTemplate, CountsEveryTraversalOfAValue) {
  const std::string lists = "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
  const std::string tuples = "{% set ns = namespace(x=(1,)) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}";
  for (const char* walk :
       {"table[ns.x]", "numbers[ns.x]", "nobody[ns.x]", "table.get(ns.x)", "{ns.x: 1}", "ns.x in table", "ns.x is lt(ns.x)",
        "ns.x is ge(ns.x)", "ns.x == ns.x", "[ns.x, ns.x] | unique | list", "[1] | select(ns.x) | list"}) {
    for (const std::string& value : {lists, tuples}) {
      EXPECT_THAT(render(value + "{{ " + walk + " }}"), AnyOf(HasSubstr("too many steps"), HasSubstr("too much memory"))) << walk;
    }
  }
}

TEST(ChatTemplate, RefusesIntegersBeyond64Bits) {
  for (const char* beyond : {"9223372036854775807 + 1", "-9223372036854775807 - 2", "4611686018427387904 * 2", "1e19 | int"}) {
    EXPECT_THAT(show(beyond), HasSubstr("too large")) << beyond;
  }
}

TEST(ChatTemplate, LooksUpInDictionariesOfAnySize) {
  std::string members;
  for (int i = 0; i < 100'000; ++i) members += fmt::format("{}\"k{}\":{}", i == 0 ? "" : ",", i, i);
  const Json values = parse_json(fmt::format(R"({{"large":{{{0}}},"same":{{{0}}},{0}}})", members)).value();
  EXPECT_EQ(try_render("{{ large.k99999 }}{{ 'k50000' in large }}{{ large.get('k7') }}{{ large.other is defined }}{{ k99999 }}"
                       "{{ large == same }}{{ dict(large, k3=0) | length }}",
                       values)
                .value(),
            "99999True7False99999True100000");
}

TEST(ChatTemplate, ReplacesBytesThatAreNotUtf8) { EXPECT_EQ(render("a\xFF{{ n }}"), "a\uFFFD7"); }

}  // namespace
}  // namespace slora
