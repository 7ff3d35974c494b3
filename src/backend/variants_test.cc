// What the tests of Ops in this module run on.
#include "backend/testing/op_fixture.h"

namespace slora::testing {

std::vector<Variant> ops_variants() { return every_variant(); }
std::vector<Variant> ops_int8_variants() { return int8_variants(); }
std::vector<Variant> ops_int4_variants() { return int4_variants(); }

namespace {

TEST(Variants, AreOfTheBackendsThatTheyName) {
  for (const Variant& variant : every_variant()) EXPECT_EQ(open(variant)->name(), variant.backend);
  for (const Variant& variant : int8_variants()) EXPECT_NE(open(variant)->description().find("int8"), std::string::npos);
  for (const Variant& variant : int4_variants()) EXPECT_NE(open(variant)->description().find("int4"), std::string::npos);
}

}  // namespace
}  // namespace slora::testing
