#include "adapters/changed_rows.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "adapters/adapter_image.h"
#include "base/testing/source_path.h"
#include "formats/model_config.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

FileStamp stamp_number(std::uint64_t inode) {
  FileStamp stamp;
  stamp.inode = inode;
  return stamp;
}

ChangedRows rows_of(std::size_t count) { return {{"weight", std::make_shared<const std::vector<std::int64_t>>(count, 1)}}; }

TEST(ChangedRowLists, KnowsTheFilesThatCameLast) {
  ChangedRowLists lists;
  for (std::uint64_t i = 0; i < 2000; ++i) lists.keep(stamp_number(i), rows_of(1));
  EXPECT_TRUE(lists.find(stamp_number(2)).empty());
  EXPECT_EQ(lists.find(stamp_number(1999)).at("weight")->size(), 1u);
  lists.keep(stamp_number(1999), rows_of(3));
  EXPECT_EQ(lists.find(stamp_number(1999)).at("weight")->size(), 3u);
}

TEST(ChangedRowLists, DropsTheOldestOfLongLists) {
  ChangedRowLists lists;
  lists.keep(stamp_number(1), rows_of(3 << 20));
  lists.keep(stamp_number(2), rows_of(2 << 20));
  EXPECT_TRUE(lists.find(stamp_number(1)).empty());
  EXPECT_FALSE(lists.find(stamp_number(2)).empty());
}

// The golden files are old enough for their stamps to tell changes.
TEST(ChangedRowLists, AreFoundOnceForEachFile) {
  const std::filesystem::path golden = source_path("tests/golden/families");
  const TemporaryFolder model;
  std::filesystem::copy_file(golden / "model.safetensors", model.file("model.safetensors"));
  const AdapterBase base{.modules = make_module_table(read_model_config(golden.string()).value()),
                         .format = {DType::bf16, 2},
                         .page_bytes = 65536,
                         .weights = std::make_shared<const ModelFiles>(ModelFiles::open(model.path()).value())};
  const auto prepared = [&](const char* name) { return prepare_adapter(FolderPath((golden / "adapters" / name).string()), base); };
  const std::uint32_t page_count = prepared("mts_embed_head_norm")->size.page_count;
  std::filesystem::resize_file(model.file("model.safetensors"), 100);  // so that comparing with it fails
  const Result<PreparedAdapter> again = prepared("mts_embed_head_norm");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->size.page_count, page_count);
  EXPECT_FALSE(prepared("emb_lora_with_base_layer"));
}

}  // namespace
}  // namespace slora
