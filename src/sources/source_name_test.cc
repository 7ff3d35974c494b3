#include "sources/source_name.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

TEST(SourceName, IsWhatAProgramMayBeCalledWith) {
  for (const char* name : {"acme/sql", "acme/sql-v3_2.1", "s3://bucket/a/b", "hf://org/name@abc", "a"})
    EXPECT_TRUE(is_source_name(name)) << name;
  for (const std::string name :
       {"",      "-rf",      "--config=x", "s3://-x", "s3://", "a/../b",   "../a", "/etc/passwd", "a//b", "a b",           "a;rm",
        "$(id)", "`id`",     "a|b",        "a\nb",    "a'b",   "a\"b",     "a\\b", "a*",          "~a",   "s3://a/s3://b", "a/.",
        "a/-x",  "a/--flag", "a/.b",       "a/b/-",   "a/",    "s3://a/-x"}) {
    EXPECT_FALSE(is_source_name(name)) << name;
  }
  EXPECT_FALSE(is_source_name(std::string("a\0b", 3)));
  EXPECT_FALSE(is_source_name(std::string(513, 'a')));
  EXPECT_TRUE(is_revision("refs/pr/1"));
  for (const char* revision : {"", "-x", "s3://a", "a..b", "a b", "refs/-x"}) EXPECT_FALSE(is_revision(revision)) << revision;
}

TEST(SourceName, HubFoldersAreNamedAsTheHubsClientDoes) {
  EXPECT_EQ(hub_folder_name("org/name"), "models--org--name");
  EXPECT_EQ(hub_folder_name("hf://org/na.me-1"), "models--org--na.me-1");
  for (const char* name : {"name", "org/", "/name", "a/b/c", "org/..", "s3://org/name", "or--g/name"})
    EXPECT_FALSE(hub_folder_name(name)) << name;
}

TEST(SourceRule, NamesAPrefixAndAProgram) {
  const TemporaryFolder folder;
  const std::string program = folder.write("fetch", "#!/bin/sh\n");
  EXPECT_FALSE(parse_source_rule("acme/=" + program)) << "it can't be executed";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  const Result<SourceRule> rule = parse_source_rule("acme/=" + program);
  ASSERT_TRUE(rule) << rule.error().message;
  EXPECT_EQ(rule->prefix, "acme/");
  EXPECT_EQ(rule->program, program);
  EXPECT_TRUE(parse_source_rule("s3://=" + program));
  const std::vector<std::string> refused = {
      "acme/", "=" + program, "acme/=", "acme/=" + program + " --option", "-x=" + program, "acme/=" + folder.path(), "acme/=/nowhere"};
  for (const std::string& text : refused) {
    EXPECT_FALSE(parse_source_rule(text)) << text;
  }
}

TEST(SourceRule, TheLongestPrefixDecides) {
  const std::vector<SourceRule> rules = {{"acme/", "/a"}, {"acme/private/", "/b"}, {"s3://", "/c"}};
  EXPECT_EQ(find_source_rule(rules, "acme/sql")->program, "/a");
  EXPECT_EQ(find_source_rule(rules, "acme/private/sql")->program, "/b");
  EXPECT_EQ(find_source_rule(rules, "s3://acme/sql")->program, "/c");
  EXPECT_EQ(find_source_rule(rules, "acme/"), nullptr) << "nothing is named";
  EXPECT_EQ(find_source_rule(rules, "other/sql"), nullptr);
}

}  // namespace
}  // namespace slora
