#include "adapters/blend_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using Version = std::shared_ptr<const AdapterVersion>;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class BlendTableTest : public ::testing::Test {
 protected:
  Version adapter(const std::string& name, std::uint32_t page_count) {
    return std::make_shared<const AdapterVersion>(AdapterId{++last_id_}, AdapterVersion::Origin{.name = name, .folder = {}, .stamp = {}},
                                                  page_count);
  }
  Version find(std::vector<BlendComponent> components) {
    return table_.find_or_make(std::move(components), [this] { return AdapterId{++last_id_}; });
  }

  std::uint64_t last_id_ = 0;
  BlendTable table_{3};
  std::vector<Version> retired_;
  const Version sql_ = adapter("sql", 5), tone_ = adapter("tone", 2);
};

TEST_F(BlendTableTest, KnowsABlendByItsComponentsAndWeights) {
  const Version blend = find({{sql_, 0.5f}, {tone_, 2.0f}});
  EXPECT_EQ(blend->name(), "0.5 x sql + 2 x tone");
  EXPECT_EQ(blend->page_count(), 7u);
  EXPECT_EQ(find({{tone_, 2.0f}, {sql_, 0.5f}}), blend);
  EXPECT_NE(find({{tone_, 0.5f}, {sql_, 2.0f}}), blend);
  EXPECT_NE(find({{sql_, 0.5f}}), blend);
  EXPECT_EQ(find({{sql_, 0.5f}, {tone_, 2.0f}}), blend);
  EXPECT_THAT(retired_, IsEmpty());
}

TEST_F(BlendTableTest, ForgetsTheOneThatWasNamedLongestAgoAndThatNobodyUses) {
  const AdapterId first = find({{sql_, 1.5f}})->id(), second = find({{sql_, 2.5f}})->id();
  (void)find({{sql_, 3.5f}});
  EXPECT_EQ(find({{sql_, 1.5f}})->id(), first);
  (void)find({{sql_, 4.5f}});
  EXPECT_EQ(table_.size(), 3u);
  EXPECT_EQ(find({{sql_, 1.5f}})->id(), first);
  EXPECT_NE(find({{sql_, 2.5f}})->id(), second);
}

TEST_F(BlendTableTest, ForgetsNoneThatIsInUseHoweverManyAreNamed) {
  const Version held = find({{sql_, 1.5f}});
  find({{sql_, 2.5f}})->mark_resident();
  const AdapterId resident = find({{sql_, 2.5f}})->id();
  for (int i = 0; i < 100; ++i) (void)find({{tone_, 10.0f + static_cast<float>(i)}});
  EXPECT_EQ(table_.size(), 3u);
  EXPECT_EQ(find({{sql_, 1.5f}}), held);
  EXPECT_EQ(find({{sql_, 2.5f}})->id(), resident);
}

TEST_F(BlendTableTest, ForgetsAllBlendsOfAComponent) {
  const Version both = find({{sql_, 0.5f}, {tone_, 2.0f}}), one = find({{tone_, 2.0f}}), other = find({{sql_, 0.5f}});
  table_.forget(*tone_, retired_);
  EXPECT_THAT(retired_, ::testing::UnorderedElementsAre(both, one));
  EXPECT_EQ(find({{sql_, 0.5f}}), other);
}

TEST_F(BlendTableTest, CountsAComponentAsResidentWhileABlendOfItIs) {
  const Version blend = find({{sql_, 0.5f}, {tone_, 2.0f}});
  blend->mark_resident();
  blend->mark_resident();
  EXPECT_TRUE(sql_->is_resident());
  sql_->mark_resident();
  blend->mark_evicted();
  EXPECT_TRUE(sql_->is_resident());
  EXPECT_FALSE(tone_->is_resident());
  sql_->mark_evicted();
  EXPECT_FALSE(sql_->is_resident());
  Version last = std::make_shared<const AdapterVersion>(AdapterId{99}, std::vector<BlendComponent>{{tone_, 3.0f}});
  last->mark_resident();
  last.reset();
  EXPECT_FALSE(tone_->is_resident()) << "nothing is left that could be evicted";
}

}  // namespace
}  // namespace slora
