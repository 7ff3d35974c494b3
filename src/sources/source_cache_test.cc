#include "sources/source_cache.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

bool always(const std::string&) { return true; }

std::string add(SourceCache& cache, const std::string& name, std::uint64_t bytes, const SourceCache::LetGo& let_go = always) {
  const std::string key = SourceCache::key_of(name, "main");
  const TemporaryFolder fetched = cache.make_folder().value();
  fetched.write("weights", std::string(bytes, 'x'));
  const Status added = cache.add(key, fetched, {name, "main", "abc", bytes}, let_go);
  return added ? key : added.error().code;
}

TEST(SourceCache, RemovesWhatWasUsedLongestAgo) {
  const TemporaryFolder folder;
  const std::unique_ptr<SourceCache> cache = SourceCache::open(folder.path(), 100).value();
  const std::string a = add(*cache, "a", 40), b = add(*cache, "b", 40);
  ASSERT_NE(cache->find(a), nullptr);
  const std::string c = add(*cache, "c", 40);
  EXPECT_EQ(cache->find(b), nullptr);
  EXPECT_FALSE(std::filesystem::exists(cache->path_of(b)));
  EXPECT_NE(cache->find(a), nullptr);
  EXPECT_EQ(cache->find(c)->identity, "abc");
  EXPECT_EQ(cache->bytes(), 80U);
  EXPECT_EQ(add(*cache, "d", 101), "E_CACHE");
}

TEST(SourceCache, KeepsWhatMayNotGo) {
  const TemporaryFolder folder;
  const std::unique_ptr<SourceCache> cache = SourceCache::open(folder.path(), 100).value();
  const std::string a = add(*cache, "a", 60);
  EXPECT_EQ(add(*cache, "b", 60, [](const std::string&) { return false; }), "E_CACHE");
  EXPECT_NE(cache->find(a), nullptr);
}

TEST(SourceCache, IsThereAfterARestartWithoutWhatWasInterrupted) {
  const TemporaryFolder folder;
  std::string a, b;
  {
    const std::unique_ptr<SourceCache> cache = SourceCache::open(folder.path(), 100).value();
    EXPECT_FALSE(SourceCache::open(folder.path(), 100)) << "of one server at a time";
    a = add(*cache, "a", 40);
    b = add(*cache, "b", 40);
  }
  folder.write("slora-abcdef/weights", "half");
  folder.write(std::string(32, 'a') + "/weights", "without a record");
  folder.write("notes.txt", "of the operator");
  std::filesystem::remove_all(folder.file(b));
  const std::unique_ptr<SourceCache> cache = SourceCache::open(folder.path(), 100).value();
  ASSERT_NE(cache->find(a), nullptr);
  EXPECT_EQ(cache->find(a)->name, "a");
  EXPECT_EQ(cache->find(b), nullptr);
  EXPECT_EQ(cache->bytes(), 40U);
  EXPECT_FALSE(std::filesystem::exists(folder.file("slora-abcdef")));
  EXPECT_FALSE(std::filesystem::exists(folder.file(std::string(32, 'a'))));
  EXPECT_TRUE(std::filesystem::exists(folder.file("notes.txt")));
}

TEST(SourceCache, KeysTellNamesFromRevisions) {
  EXPECT_NE(SourceCache::key_of("a", "b"), SourceCache::key_of("a\nb", ""));
  EXPECT_NE(SourceCache::key_of("a", "main"), SourceCache::key_of("a", "v2"));
}

}  // namespace
}  // namespace slora
