#include "http/key_ring.h"

#include <gtest/gtest.h>

#include <fstream>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

std::string entry_of(const std::string& key, const std::string& tenant) {
  return R"({"tenant":")" + tenant + R"(","key_sha256":")" + hex(digest_of_key(key)) + R"("})";
}

std::string file_of(const std::string& entries) { return R"({"keys":[)" + entries + "]}"; }

std::unique_ptr<KeyRing> ring_with(const std::filesystem::path& file) {
  Result<std::unique_ptr<KeyRing>> ring = KeyRing::create({.user_keys = {"option"}, .admin_keys = {}, .file = file});
  EXPECT_TRUE(ring) << ring.error().message;
  return ring ? std::move(*ring) : nullptr;
}

class KeyRingWithFile : public ::testing::Test {
 protected:
  void write(const std::string& text) const { std::ofstream(path()) << text; }
  [[nodiscard]] std::filesystem::path path() const { return std::filesystem::path(folder_.path()) / "keys.json"; }
  static Result<Caller> admit(const KeyRing& ring, const std::string& key) { return ring.admit(Role::user, "Bearer " + key); }

 private:
  TemporaryFolder folder_;
};

TEST_F(KeyRingWithFile, AdmitsKeysOfTheOptionsAndOfTheFile) {
  write(file_of(entry_of("one", "acme") + "," + entry_of("two", "acme")));
  const auto ring = ring_with(path());
  ASSERT_TRUE(ring);
  EXPECT_EQ(admit(*ring, "option")->tenant, TenantId{1});
  EXPECT_EQ(admit(*ring, "one")->tenant, TenantId{2});
  EXPECT_EQ(admit(*ring, "two")->tenant, TenantId{2});
  EXPECT_FALSE(admit(*ring, "three"));
}

TEST_F(KeyRingWithFile, ForgetsAKeyThatTheFileNoLongerHasAndKeepsNumbersOfTenants) {
  write(file_of(entry_of("one", "acme") + "," + entry_of("two", "other")));
  const auto ring = ring_with(path());
  ASSERT_TRUE(ring);
  ring->take_file(file_of(entry_of("two", "other")));
  EXPECT_FALSE(admit(*ring, "one"));
  EXPECT_EQ(admit(*ring, "two")->tenant, TenantId{3});
  EXPECT_TRUE(admit(*ring, "option"));
}

TEST_F(KeyRingWithFile, KeepsItsKeysWhileTheFileIsBrokenOrAway) {
  write(file_of(entry_of("one", "acme")));
  const auto ring = ring_with(path());
  ASSERT_TRUE(ring);
  ring->take_file(std::string("{broken"));
  EXPECT_TRUE(admit(*ring, "one"));
  ring->take_file(error("E_NO_FILE", "away"));
  EXPECT_TRUE(admit(*ring, "one"));
  ring->take_file(file_of(""));
  EXPECT_FALSE(admit(*ring, "one"));
}

TEST_F(KeyRingWithFile, NeedsKeysEvenWhenTheFileHasNone) {
  write(file_of(""));
  const Result<std::unique_ptr<KeyRing>> ring = KeyRing::create({.user_keys = {}, .admin_keys = {}, .file = path()});
  ASSERT_TRUE(ring);
  EXPECT_FALSE((*ring)->admit(Role::user, ""));
  EXPECT_TRUE((*ring)->admit(Role::open, ""));
}

TEST_F(KeyRingWithFile, IsRefusedAtTheStartWithAFileThatCannotBeUsed) {
  EXPECT_EQ(KeyRing::create({.user_keys = {}, .admin_keys = {}, .file = path()}).error().code, "bad_key_file");
  write("{broken");
  const Result<std::unique_ptr<KeyRing>> refused = KeyRing::create({.user_keys = {}, .admin_keys = {}, .file = path()});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("--api-key-file"), std::string::npos);
}

}  // namespace
}  // namespace slora
