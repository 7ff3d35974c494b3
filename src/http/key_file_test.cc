#include "http/key_file.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

const std::string kDigest(64, 'a');

Result<std::vector<ApiKey>> parse(const std::string& entries) {
  TenantNumbers tenants(TenantId{5});
  KeyQuotas quotas;
  return parse_key_file(R"({"keys":[)" + entries + "]}", tenants, quotas);
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

TEST(KeyFile, KeepsWhatAKeysQuotaHasLeftWhenItIsReadAgain) {
  TenantNumbers tenants(TenantId{1});
  KeyQuotas quotas;
  const auto read = [&](int tokens) {
    const std::string entry = R"({"tenant":"a","key_sha256":")" + kDigest + R"(","tokens_per_minute":)" + std::to_string(tokens) + "}";
    return parse_key_file(R"({"keys":[)" + entry + "]}", tenants, quotas)->front().caller.quota;
  };
  const std::shared_ptr<TokenQuota> quota = read(100);
  EXPECT_EQ(quota->tokens_per_minute(), 100U);
  EXPECT_EQ(read(100), quota);
  EXPECT_NE(read(200), quota);
  EXPECT_EQ(parse(R"({"tenant":"a","key_sha256":")" + kDigest + R"("})")->front().caller.quota, nullptr);
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
  EXPECT_NE(message_of(parse(R"({"tenant":"a","tokens_per_minute":0,)" + digest + "}")).find("keys[0].tokens_per_minute"),
            std::string::npos);
  EXPECT_NE(message_of(parse(R"({"role":"admin","tokens_per_minute":5,)" + digest + "}")).find("role user"), std::string::npos);
  TenantNumbers tenants(TenantId{1});
  KeyQuotas quotas;
  for (const char* text : {"", "[]", "{}", R"({"keys":{}})", R"({"keys":[],"more":1})"})
    EXPECT_FALSE(parse_key_file(text, tenants, quotas)) << text;
}

TEST(KeyFile, NeverShowsWhatStandsWhereTheDigestShould) {
  const Result<std::vector<ApiKey>> refused = parse(R"({"tenant":"a","key_sha256":"sk-secret"})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.find("sk-secret"), std::string::npos);
}

}  // namespace
}  // namespace slora
