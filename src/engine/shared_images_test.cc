#include "engine/shared_images.h"

#include <gtest/gtest.h>

#include <string>

namespace slora {
namespace {

constexpr AdapterId kShared{100}, kOther{101};

PlannedLoad load_of(std::uint64_t id, std::vector<AdapterId> shared = {kShared}, const std::string& root = "/fast") {
  PlannedLoad load{
      std::make_shared<const AdapterVersion>(AdapterId{id}, AdapterVersion::Origin{"sql", FolderPath::beneath(root, "sql"), 1, {}}, 1),
      {{PageIndex{0}}}};
  for (const AdapterId image : shared) load.pages.shared.push_back({image, {PageIndex{1}}});
  return load;
}

// The id of the next load, and whether it writes the first of what it shares; 0 when none may begin.
std::pair<std::uint64_t, bool> next(SharedImages& images) {
  const std::optional<PlannedLoad> load = images.take_next();
  if (!load) return {0, false};
  return {load->version->id().value, !load->pages.shared.empty() && load->pages.shared.front().part == SharedPart::write};
}

using Next = std::pair<std::uint64_t, bool>;

TEST(SharedImages, AreWrittenByTheFirstLoadAndAwaitedByTheOthers) {
  SharedImages images;
  for (std::uint64_t id = 1; id <= 3; ++id) images.add(load_of(id));
  images.add(load_of(4, {}));
  images.add(load_of(5, {kOther}));
  EXPECT_EQ(next(images), Next(1, true));
  EXPECT_EQ(next(images), Next(4, false)) << "shares nothing";
  EXPECT_EQ(next(images), Next(5, true)) << "shares something else";
  EXPECT_EQ(next(images), Next(0, false));
  images.note_landed(AdapterId{4});
  EXPECT_EQ(next(images), Next(0, false));
  images.note_landed(AdapterId{1});
  EXPECT_EQ(next(images), Next(2, false));
  EXPECT_EQ(next(images), Next(3, false));
}

TEST(SharedImages, AreWrittenByAnotherWhenALoadFailsFirstOfAllFromElsewhere) {
  SharedImages images;
  for (std::uint64_t id = 1; id <= 2; ++id) images.add(load_of(id, {kShared}, "/slow"));
  for (std::uint64_t id = 3; id <= 4; ++id) images.add(load_of(id));
  EXPECT_EQ(next(images), Next(1, true));
  EXPECT_EQ(next(images), Next(0, false));
  images.note_failed(AdapterId{1});
  EXPECT_EQ(next(images), Next(3, true));
  EXPECT_EQ(next(images), Next(0, false));
  images.note_landed(AdapterId{3});
  EXPECT_EQ(next(images), Next(4, false));
  EXPECT_EQ(next(images), Next(2, false));
  images.note_failed(AdapterId{4});
  images.add(load_of(5));
  EXPECT_EQ(next(images), Next(5, false)) << "it had been written";
}

TEST(SharedImages, AreWrittenAgainAfterTheyHaveLeftThePool) {
  SharedImages images;
  images.add(load_of(1));
  EXPECT_EQ(next(images), Next(1, true));
  images.note_landed(AdapterId{1});
  images.forget(kShared);
  images.add(load_of(2));
  EXPECT_EQ(next(images), Next(2, true));
}

TEST(SharedImages, OfABlendAreAllAwaited) {
  SharedImages images;
  images.add(load_of(1, {kShared}));
  images.add(load_of(2, {kShared, kOther}));
  images.add(load_of(3, {kOther}));
  EXPECT_EQ(next(images), Next(1, true));
  EXPECT_EQ(next(images), Next(3, true)) << "who waits holds up nobody";
  images.note_landed(AdapterId{1});
  EXPECT_EQ(next(images), Next(0, false));
  images.note_landed(AdapterId{3});
  EXPECT_EQ(next(images), Next(2, false));
}

}  // namespace
}  // namespace slora
