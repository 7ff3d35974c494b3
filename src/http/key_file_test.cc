#include "http/key_file.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

const std::string kDigest(64, 'a');

Result<std::vector<ApiKey>> parse(const std::string& entries) {
  TenantNumbers tenants(TenantId{5});
  return parse_key_file(R"({"keys":[)" + entries + "]}", tenants);
}

TEST(KeyFile, GivesEachKeyItsTenantRoleAndModels) {
  const Result<std::vector<ApiKey>> keys =
      parse(R"({"tenant":"acme","key_sha256":")" + hex(digest_of_key("one")) +
            R"(","models":["base","acme/*"]},{"tenant":"other","key_sha256":")" + kDigest +
            R"("},{"tenant":"acme","role":"user","key_sha256":")" + kDigest + R"("},{"role":"admin","key_sha256":")" + kDigest + R"("})");
  ASSERT_TRUE(keys) << keys.error().message;
  ASSERT_EQ(keys->size(), 4);
  EXPECT_EQ((*keys)[0].digest, digest_of_key("one"));
  EXPECT_TRUE((*keys)[0].caller.access->allows("acme/x"));
  EXPECT_FALSE((*keys)[0].caller.access->allows("other/x"));
  EXPECT_TRUE((*keys)[1].caller.access->allows_all());
  EXPECT_EQ((*keys)[0].caller.tenant, TenantId{5});
  EXPECT_EQ((*keys)[1].caller.tenant, TenantId{6});
  EXPECT_EQ((*keys)[2].caller.tenant, TenantId{5});
  EXPECT_EQ((*keys)[3].role, Role::admin);
  EXPECT_EQ((*keys)[3].caller.tenant, TenantId{0});
}

TEST(KeyFile, KeepsATenantsNumberWhenItIsReadAgain) {
  TenantNumbers tenants(TenantId{1});
  const TenantId acme = tenants.number_of("acme");
  EXPECT_NE(tenants.number_of("other"), acme);
  EXPECT_EQ(tenants.number_of("acme"), acme);
}

TEST(KeyFile, IsRefusedWithTheEntryThatIsWrong) {
  const std::string digest = R"("key_sha256":")" + kDigest + R"(")";
  const auto message_of = [](const Result<std::vector<ApiKey>>& refused) { return refused ? "accepted" : refused.error().message; };
  EXPECT_NE(message_of(parse(R"({"tenant":"a"})")).find("keys[0].key_sha256"), std::string::npos);
  EXPECT_NE(message_of(parse("{" + digest + "}")).find("keys[0].tenant"), std::string::npos);
  EXPECT_NE(message_of(parse(R"({"tenant":"a","role":"root",)" + digest + "}")).find(R"(found "root")"), std::string::npos);
  EXPECT_NE(message_of(parse(R"({"tenant":"a","models":["*x"],)" + digest + "}")).find("keys[0].models"), std::string::npos);
  EXPECT_NE(message_of(parse(R"({"tenant":"a","models":"x",)" + digest + "}")).find("keys[0].models"), std::string::npos);
  EXPECT_NE(message_of(parse(R"({"tenant":"a","adapters":[],)" + digest + "}")).find("adapters"), std::string::npos);
  EXPECT_NE(message_of(parse("1")).find("keys[0]"), std::string::npos);
  TenantNumbers tenants(TenantId{1});
  for (const char* text : {"", "[]", "{}", R"({"keys":{}})", R"({"keys":[],"more":1})"})
    EXPECT_FALSE(parse_key_file(text, tenants)) << text;
}

TEST(KeyFile, NeverShowsWhatStandsWhereTheDigestShould) {
  const Result<std::vector<ApiKey>> refused = parse(R"({"tenant":"a","key_sha256":"sk-secret"})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.find("sk-secret"), std::string::npos);
}

}  // namespace
}  // namespace slora
