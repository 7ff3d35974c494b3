#include "adapters/adapter_version.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

std::shared_ptr<const AdapterVersion> version(std::uint64_t id) {
  return std::make_shared<const AdapterVersion>(AdapterId{id},
                                                AdapterVersion::Origin{.name = "a" + std::to_string(id), .folder = {}, .stamp = {}}, 3);
}

TEST(AdapterVersion, CountsRequestsAndThoseThatFoundItsImage) {
  const auto one = version(1);
  EXPECT_EQ(one->requests().count, 0u);
  one->note_request(Timestamp(7));
  one->mark_resident();
  one->note_request(Timestamp(9));
  EXPECT_EQ(one->requests().count, 2u);
  EXPECT_EQ(one->requests().hits, 1u);
  EXPECT_EQ(one->requests().latest, Timestamp(9));
  one->mark_evicted();
  one->note_request(Timestamp(11));
  EXPECT_EQ(one->requests().hits, 1u);
}

TEST(AdapterVersion, CountsARequestForABlendForItsComponents) {
  const auto one = version(1), two = version(2), other = version(3);
  const AdapterVersion blend(AdapterId{4}, std::vector<BlendComponent>{{one, 0.5F}, {two, 0.5F}});
  blend.note_request(Timestamp(5));
  for (const auto& component : {one, two}) {
    EXPECT_EQ(component->requests().count, 1u);
    EXPECT_EQ(component->requests().latest, Timestamp(5));
  }
  EXPECT_EQ(other->requests().count, 0u);
}

}  // namespace
}  // namespace slora
