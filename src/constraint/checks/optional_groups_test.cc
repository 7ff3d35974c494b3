#include "constraint/checks/optional_groups.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(OptionalGroups, BecomeChoices) {
  EXPECT_EQ(without_optional_groups("a(x[0-9]{1,6})?b"), "a((x[0-9]{1,6})|)b");
  EXPECT_EQ(without_optional_groups("(?:a+)*"), "((?:a+)+|)");
  EXPECT_EQ(without_optional_groups("(a(b+)?){0,3}c"), "((a((b+)|)){1,3}|)c");
  EXPECT_EQ(without_optional_groups("(a+){0,}"), "((a+){1,}|)");
}

TEST(OptionalGroups, LeaveOthersAsTheyAre) {
  for (const char* regex : {"a?b*c{0,3}", "[(]?[)]*", "[\\])]?", "\\(a\\)?", "(a){2,3}", "(a+)+", "(a){0,0}"}) {
    EXPECT_EQ(without_optional_groups(regex), regex);
  }
}

}  // namespace
}  // namespace slora
