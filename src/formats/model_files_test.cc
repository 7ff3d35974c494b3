#include "formats/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
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

TEST(ModelFiles, FindsTensorsByTheirNewNamesAndNoneThatAreLeftOut) {
  const TemporaryFolder folder;
  std::vector<TensorToWrite> tensors;
  for (const char* name : {"a", "b", "c", "d", "e"}) tensors.push_back(tensor_to_write(name, DType::f32, {1}, {static_cast<float>(*name)}));
  ASSERT_TRUE(write_safetensors(folder.file("model.safetensors"), tensors));
  ModelFiles files = ModelFiles::open(folder.path()).value();
  files.rename("a", "d2");
  files.rename("e", "a2");
  files.rename("c", "c2");
  const std::vector<std::string> left_out = {"d", "b"};
  files.remove(left_out);
  EXPECT_EQ(files.total_bytes(), 12u);
  std::vector<std::string> names;
  for (const ModelTensor& tensor : files.tensors()) names.push_back(tensor.info.name);
  EXPECT_THAT(names, ElementsAre("a2", "c2", "d2"));
  for (const auto& [name, value] : {std::pair("a2", 'e'), std::pair("c2", 'c'), std::pair("d2", 'a')}) {
    float found = 0;
    ASSERT_TRUE(files.read(*files.find(name), std::as_writable_bytes(std::span(&found, 1))));
    EXPECT_EQ(found, static_cast<float>(value)) << name;
  }
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

TEST(ModelFiles, RefusesTensorsThatNoShardHasByName) {
  const TemporaryFolder folder;
  write_shards(folder, R"({"a":"s1.safetensors","b":"s2.safetensors","c":"s2.safetensors","d":"s1.safetensors"})");
  EXPECT_THAT(refusal(folder), HasSubstr("tensor \"d\": expected in s1.safetensors"));
  write_shards(folder, R"({"a":"s1.safetensors","b":"s3.safetensors"})");
  EXPECT_THAT(refusal(folder), HasSubstr("s3.safetensors: there is no such file"));
}

TEST(ModelFiles, FindsTensorsWhereTheShardsHaveThemAndSaysWhatTheIndexMisses) {
  const TemporaryFolder folder;
  write_shards(folder, R"({"a":"s1.safetensors","b":"s2.safetensors"})");
  Result<ModelFiles> files = ModelFiles::open(folder.path());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_NE(files->find("c"), nullptr);
  EXPECT_THAT(files->warnings(), ElementsAre(HasSubstr("names 2 tensors, the files hold 3")));
  write_shards(folder, R"({"a":"s2.safetensors","b":"s1.safetensors","c":"s2.safetensors"})");
  files = ModelFiles::open(folder.path());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->file_of(*files->find("a")), "s1.safetensors");
  EXPECT_THAT(files->warnings(), ElementsAre(HasSubstr("tensor \"b\" lies in s2.safetensors, not in s1.safetensors"),
                                             HasSubstr("tensor \"a\" lies in s1.safetensors, not in s2.safetensors")));
}

// Writes the tensor "w" into two shards.
std::string refusal_of_two(const TemporaryFolder& folder, const TensorToWrite& first, const TensorToWrite& second) {
  EXPECT_TRUE(write_safetensors(folder.file("s1.safetensors"), {first, tensor_to_write("v", DType::f32, {1}, {1})}));
  EXPECT_TRUE(write_safetensors(folder.file("s2.safetensors"), {second, tensor_to_write("x", DType::f32, {1}, {1})}));
  folder.write("model.safetensors.index.json", R"({"weight_map":{"w":"s2.safetensors","v":"s1.safetensors","x":"s2.safetensors"}})");
  return refusal(folder);
}

TEST(ModelFiles, ServesATensorThatLiesInTwoShardsOnlyIfBothAreTheSame) {
  const TemporaryFolder folder;
  const std::vector<float> many(300'000, 2.0f);  // more than is compared at once
  std::vector<float> other = many;
  other.back() = 3;
  const TensorToWrite w = tensor_to_write("w", DType::f32, {300'000}, many);
  EXPECT_EQ(refusal_of_two(folder, w, w), "accepted");
  constexpr const char* kRefused =
      "E_MODEL_FILES: model.safetensors.index.json: tensor \"w\" differs between s1.safetensors and s2.safetensors";
  EXPECT_EQ(refusal_of_two(folder, w, tensor_to_write("w", DType::f32, {300'000}, other)), kRefused);
  EXPECT_EQ(refusal_of_two(folder, w, tensor_to_write("w", DType::f16, {300'000}, many)), kRefused);
  EXPECT_EQ(refusal_of_two(folder, w, tensor_to_write("w", DType::f32, {1000, 300}, many)), kRefused);
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
