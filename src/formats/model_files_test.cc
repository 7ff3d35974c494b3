#include "formats/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

void write_shards(const TemporaryFolder& folder, std::string_view weight_map) {
  ASSERT_TRUE(write_safetensors(folder.file("s1.safetensors"), {tensor_to_write("a", DType::f32, {2}, {1, 2})}));
  ASSERT_TRUE(write_safetensors(folder.file("s2.safetensors"),
                                {tensor_to_write("b", DType::f16, {1}, {3}), tensor_to_write("c", DType::f32, {1}, {4})}));
  folder.write("model.safetensors.index.json", R"({"metadata":{"total_size":14},"weight_map":)" + std::string(weight_map) + "}");
}

std::string refusal(const TemporaryFolder& folder) {
  const Result<ModelFiles> files = ModelFiles::open(folder.path());
  return files ? "accepted" : files.error().code + ": " + files.error().message;
}

TEST(ModelFiles, OpensASingleFile) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_safetensors(folder.file("model.safetensors"), {tensor_to_write("w", DType::f32, {1}, {7})}));
  const Result<ModelFiles> files = ModelFiles::open(folder.path());
  ASSERT_TRUE(files) << files.error().message;
  float value = 0;
  ASSERT_TRUE(files->read(*files->find("w"), std::as_writable_bytes(std::span(&value, 1))));
  EXPECT_EQ(value, 7.0f);
  EXPECT_EQ(files->find("v"), nullptr);
  EXPECT_EQ(files->total_bytes(), 4u);
}

TEST(ModelFiles, OpensShards) {
  const TemporaryFolder folder;
  write_shards(folder, R"({"c":"s2.safetensors","a":"s1.safetensors","b":"s2.safetensors"})");
  const Result<ModelFiles> files = ModelFiles::open(folder.path());
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_EQ(files->tensors().size(), 3u);
  EXPECT_EQ(files->total_bytes(), 14u);
  float value = 0;
  ASSERT_TRUE(files->read(*files->find("c"), std::as_writable_bytes(std::span(&value, 1))));
  EXPECT_EQ(value, 4.0f);
}

TEST(ModelFiles, RefusesMissingAndExtraTensorsByName) {
  const TemporaryFolder folder;
  write_shards(folder, R"({"a":"s1.safetensors","b":"s2.safetensors","c":"s2.safetensors","d":"s1.safetensors"})");
  EXPECT_THAT(refusal(folder), HasSubstr("tensor \"d\": expected in s1.safetensors"));
  write_shards(folder, R"({"a":"s1.safetensors","b":"s2.safetensors"})");
  EXPECT_THAT(refusal(folder), HasSubstr("tensor \"c\" lies in s2.safetensors"));
  write_shards(folder, R"({"a":"s1.safetensors","b":"s3.safetensors"})");
  EXPECT_THAT(refusal(folder), HasSubstr("s3.safetensors: there is no such file"));
}

TEST(ModelFiles, RefusesIndicesThatLeaveTheFolder) {
  const TemporaryFolder folder;
  write_shards(folder, R"({"a":"../s1.safetensors"})");
  EXPECT_THAT(refusal(folder), HasSubstr("of the same folder"));
  write_shards(folder, R"({"a":"model.bin"})");
  EXPECT_THAT(refusal(folder), HasSubstr(".safetensors file"));
  write_shards(folder, R"({"a":1})");
  EXPECT_THAT(refusal(folder), HasSubstr("expected a file name"));
  write_shards(folder, "{}");
  EXPECT_THAT(refusal(folder), HasSubstr("weight_map"));
}

TEST(ModelFiles, SaysWhatIsExpectedOfAnEmptyFolder) {
  const TemporaryFolder folder;
  EXPECT_THAT(refusal(folder), HasSubstr("E_MODEL_FILES: expected model.safetensors or model.safetensors.index.json"));
}

TEST(ModelFiles, FollowsLinksAsInHubCaches) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.file("blobs"));
  std::filesystem::create_directories(folder.file("snapshots/main"));
  ASSERT_TRUE(write_safetensors(folder.file("blobs/0123"), {tensor_to_write("w", DType::f32, {1}, {7})}));
  std::filesystem::create_symlink("../../blobs/0123", folder.file("snapshots/main/model.safetensors"));
  EXPECT_TRUE(ModelFiles::open(folder.file("snapshots/main")));
}

}  // namespace
}  // namespace slora
