#include "cli/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<ConfigEntry> entries_of_text(const std::string& text) {
  Result<std::vector<ConfigEntry>> entries = parse_config(text, "a.yaml");
  EXPECT_TRUE(entries) << entries.error().message;
  return entries.value_or(std::vector<ConfigEntry>{});
}

std::string refusal_of_config(const std::string& text) {
  const Result<std::vector<ConfigEntry>> entries = parse_config(text, "a.yaml");
  return entries ? "" : entries.error().message;
}

TEST(ConfigFile, SaysWhatStandsWhere) {
  const std::vector<ConfigEntry> entries = entries_of_text(
      "# a comment\n"
      "max_model_len: 4096\n"
      "\n"
      "api-key: [one, 'two, three']\n"
      "prefault-pool: true\n"
      "on-stall: \"true\"\n"
      "pin: []\n"
      "lora-modules:\n"
      "  - a=/x\n"
      "  - {name: b, path: '007', pinned: false, rank: 8}\n");
  ASSERT_EQ(entries.size(), 6u);
  EXPECT_EQ(option_of(entries[0]), "--max-model-len");
  EXPECT_EQ(entries[0].line, 2);
  EXPECT_THAT(entries[0].values, ElementsAre("4096"));
  EXPECT_THAT(entries[1].values, ElementsAre("one", "two, three"));
  EXPECT_TRUE(entries[2].is_switch);
  EXPECT_FALSE(entries[3].is_switch) << "text in quotes is text";
  EXPECT_THAT(entries[4].values, IsEmpty());
  EXPECT_EQ(entries[5].line, 8);
  EXPECT_THAT(entries[5].values, ElementsAre("a=/x", R"({"name":"b","path":"007","pinned":false,"rank":8})"));
}

TEST(ConfigFile, MayBeJsonOrEmpty) {
  const std::vector<ConfigEntry> entries = entries_of_text("{\"port\": 80,\n \"api_key\": [\"a\", \"b\"]}\n");
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1].line, 2);
  EXPECT_THAT(entries[1].values, ElementsAre("a", "b"));
  EXPECT_THAT(entries_of_text("# nothing\n"), IsEmpty());
  EXPECT_EQ(entries_of_text("--- # options\nport: 1\n...\n").size(), 1u) << "one document, marked as such";
}

TEST(ConfigFile, ErrorsNameFileLineAndKey) {
  EXPECT_THAT(refusal_of_config("port: 1\nport: 2\n"), AllOf(HasSubstr("a.yaml:2: port: "), HasSubstr("line 1")));
  EXPECT_THAT(refusal_of_config("max-model-len: 1\nmax_model_len: 2\n"), HasSubstr("a.yaml:2: max_model_len: stands in line 1"));
  EXPECT_THAT(refusal_of_config("threads: 2\nport:\n"), HasSubstr("a.yaml:2: port: expected a value, found none"));
  EXPECT_THAT(refusal_of_config("a: [1\nb: 2"), HasSubstr("a.yaml:2: "));
  EXPECT_THAT(refusal_of_config("- port\n"), HasSubstr("a.yaml: expected options"));
  EXPECT_THAT(refusal_of_config("port: 1\n---\nthreads: 2\n"), HasSubstr("a.yaml:3: expected one document"));
  EXPECT_THAT(refusal_of_config("[a]: 1\n"), HasSubstr("a.yaml:1: expected the name of an option"));
}

// Each level is small text, and ten times the one before it.
TEST(ConfigFile, AFileThatMeansMoreThanItSaysIsRefused) {
  std::string text = "a: &a {x: [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]}\n";
  for (char level = 'b'; level < 'j'; ++level) {
    const std::string below = std::string("*") + static_cast<char>(level - 1);
    text += std::string(1, level) + ": &" + level + " {x: [";
    for (int i = 0; i < 9; ++i) text += below + ", ";
    text += below + "]}\n";
  }
  EXPECT_THAT(refusal_of_config(text), AllOf(HasSubstr("a.yaml:"), HasSubstr("expected at most 100000 values")));
  std::string deep = "a: ";
  for (int i = 0; i < 40; ++i) deep += "{x: ";
  EXPECT_THAT(refusal_of_config(deep + "1" + std::string(40, '}')), HasSubstr("a: expected at most"));
}

}  // namespace
}  // namespace slora
