#include "engine/adapter_use.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

std::shared_ptr<const AdapterVersion> version_of(std::uint64_t id) {
  return std::make_shared<const AdapterVersion>(AdapterId{id}, AdapterVersion::Origin{"name", {}, 1, {}}, 1);
}

TEST(AdapterUse, KeepsAVersionAliveWhileASequenceOrALoadNeedsIt) {
  AdapterUse use;
  std::shared_ptr<const AdapterVersion> version = version_of(1);
  const std::weak_ptr<const AdapterVersion> watched = version;
  use.acquire(version);
  EXPECT_EQ(use.begin_load(AdapterId{1}, Timestamp{5}), version);
  version.reset();
  use.release(AdapterId{1});
  EXPECT_FALSE(watched.expired()) << "the load is under way";
  EXPECT_EQ(use.loading_count(), 1u);
  EXPECT_EQ(use.land(AdapterId{1}, std::make_unique<const AdapterView>(), Timestamp{1000000005}), Timestamp{5});
  EXPECT_EQ(use.load_seconds_since(AdapterId{1}, Timestamp{7}), 1.0F) << "it ended after that";
  EXPECT_FALSE(use.load_seconds_since(AdapterId{1}, Timestamp{1000000005}));
  EXPECT_TRUE(watched.expired());
  EXPECT_NE(use.view_of(AdapterId{1}), nullptr) << "the image stays until it is evicted";
  EXPECT_EQ(use.resident_count(), 1u);
  use.evict(AdapterId{1});
  EXPECT_EQ(use.view_of(AdapterId{1}), nullptr);
  EXPECT_EQ(use.resident_count(), 0u);
}

TEST(AdapterUse, MarksAVersionWhileItsImageIsInThePool) {
  AdapterUse use;
  const std::shared_ptr<const AdapterVersion> version = version_of(1);
  use.acquire(version);
  (void)use.begin_load(AdapterId{1}, Timestamp{1});
  EXPECT_FALSE(version->is_resident());
  use.land(AdapterId{1}, std::make_unique<const AdapterView>(), Timestamp{6});
  EXPECT_TRUE(version->is_resident());
  use.release(AdapterId{1});
  EXPECT_TRUE(version->is_resident());
  use.evict(AdapterId{1});
  EXPECT_FALSE(version->is_resident());
}

TEST(AdapterUse, RemembersAFailureUntilItsSequencesHaveEnded) {
  AdapterUse use;
  for (int i = 0; i < 2; ++i) use.acquire(version_of(1));
  EXPECT_EQ(use.failure_of(AdapterId{1}), nullptr);
  (void)use.begin_load(AdapterId{1}, Timestamp{1});
  use.fail(AdapterId{1}, {"E_FILE", "gone", {}});
  for (int i = 0; i < 2; ++i) {
    ASSERT_NE(use.failure_of(AdapterId{1}), nullptr);
    EXPECT_EQ(use.failure_of(AdapterId{1})->code, "E_FILE");
    use.release(AdapterId{1});
  }
  use.acquire(version_of(1));
  EXPECT_EQ(use.failure_of(AdapterId{1}), nullptr) << "a later sequence starts afresh";
}

TEST(AdapterUseDeathTest, StopsAtALoadThatNobodyWantsOrThatIsUnderWay) {
  AdapterUse use;
  EXPECT_DEATH((void)use.begin_load(AdapterId{1}, Timestamp{1}), "in use");
  use.acquire(version_of(1));
  (void)use.begin_load(AdapterId{1}, Timestamp{1});
  EXPECT_DEATH((void)use.begin_load(AdapterId{1}, Timestamp{1}), "one at a time");
}

}  // namespace
}  // namespace slora
