#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <tuple>

#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// The result of reading a header that is followed by `data_bytes` bytes.
std::string refusal(const std::string& header, std::uint64_t data_bytes, const SafetensorsLimits& limits = {}) {
  const Result<SafetensorsHeader> parsed = parse_safetensors_header(header, 8 + header.size() + data_bytes, limits);
  return parsed ? "accepted" : parsed.error().code + ": " + parsed.error().message;
}

std::string tensor(std::string_view name, std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return fmt::format("\"{}\":{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":{}}}", name, dtype, shape, offsets);
}
std::string both(std::string_view first, std::string_view second) { return fmt::format("{{{},{}}}", first, second); }
std::string alone(std::string_view entry) { return fmt::format("{{{}}}", entry); }
std::string one(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return alone(tensor("a", dtype, shape, offsets));
}

std::string file_of(const std::string& header, const std::string& data) {
  std::string text(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) text[i] = static_cast<char>(header.size() >> (8 * i) & 0xffu);
  return text + header + data;
}

TEST(SafetensorsHeader, AcceptsTensorsInAnyOrderOfTheHeader) {
  const std::string header =
      both(tensor("b", "BF16", "[3]", "[16,22]"), tensor("a", "F32", "[2,2]", "[0,16]") + R"(,"__metadata__":{"format":"pt"})") + "  ";
  const Result<SafetensorsHeader> parsed = parse_safetensors_header(header, 8 + header.size() + 22);
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_EQ(parsed->tensors.size(), 2u);
  EXPECT_EQ(parsed->tensors[0].name, "a");
  EXPECT_EQ(parsed->tensors[0].offset, 8 + header.size());
  EXPECT_EQ(parsed->tensors[1].shape, (std::vector<std::int64_t>{3}));
  EXPECT_EQ(parsed->tensors[1].bytes, 6u);
  EXPECT_EQ(parsed->metadata.at(0).second, "pt");
}

TEST(SafetensorsHeader, AcceptsScalarsAndTensorsWithoutElements) {
  EXPECT_EQ(refusal(one("F64", "[]", "[0,8]"), 8), "accepted");
  EXPECT_EQ(refusal(both(tensor("a", "F32", "[0,4]", "[0,0]"), tensor("b", "I8", "[1]", "[0,1]")), 1), "accepted");
  EXPECT_EQ(refusal("{}", 0), "accepted");
}

TEST(SafetensorsHeader, RefusesShapesWhoseProductWraps) {
  EXPECT_THAT(refusal(one("U8", "[4194305,4194305,211106198978564]", "[0,4]"), 4), HasSubstr("fits 64 bits"));
  EXPECT_THAT(refusal(one("F64", "[2305843009213693952]", "[0,0]"), 0), HasSubstr("fits 64 bits"));
  EXPECT_THAT(refusal(one("U8", "[9223372036854775807,4,0]", "[0,0]"), 0), HasSubstr("fits 64 bits"));
}

TEST(SafetensorsHeader, RefusesBytesThatAreNotShapeTimesSize) {
  EXPECT_THAT(refusal(one("F32", "[2]", "[0,7]"), 7), HasSubstr("expected 8 bytes for F32 [2], found 7"));
  EXPECT_THAT(refusal(one("F32", "[2]", "[0,16]"), 16), HasSubstr("expected 8 bytes"));
}

TEST(SafetensorsHeader, RefusesGapsOverlapsAndWrongEnds) {
  const std::string first = tensor("a", "U8", "[4]", "[0,4]");
  EXPECT_THAT(refusal(both(first, tensor("b", "U8", "[4]", "[2,6]")), 6), HasSubstr("tensor \"b\": expected its bytes to begin at 4"));
  EXPECT_THAT(refusal(both(first, tensor("b", "U8", "[4]", "[0,4]")), 4), HasSubstr("begin at 4"));
  EXPECT_THAT(refusal(both(first, tensor("b", "U8", "[4]", "[5,9]")), 9), HasSubstr("begin at 4"));
  EXPECT_THAT(refusal(one("U8", "[4]", "[1,5]"), 5), HasSubstr("begin at 0"));
  EXPECT_THAT(refusal(one("U8", "[4]", "[0,4]"), 3), HasSubstr("end within the file's 3 data bytes"));
  EXPECT_THAT(refusal(one("U8", "[4]", "[0,4]"), 5), HasSubstr("fill the file's 5 data bytes, found 4"));
  EXPECT_THAT(refusal("{}", 1), HasSubstr("fill the file's 1 data bytes, found 0"));
  EXPECT_THAT(refusal(one("U8", "[4]", "[4,0]"), 4), HasSubstr("data_offsets"));
  EXPECT_THAT(refusal(one("U8", "[1]", "[18446744073709551615,18446744073709551616]"), 1), HasSubstr("data_offsets"));
  EXPECT_THAT(refusal(one("U8", "[0]", "[18446744073709551615,18446744073709551615]"), 0), HasSubstr("begin at 0"));
}

TEST(SafetensorsHeader, RefusesDuplicateNames) {
  EXPECT_THAT(refusal(both(tensor("a", "U8", "[1]", "[0,1]"), tensor("a", "U8", "[1]", "[1,2]")), 2), HasSubstr("stands twice"));
}

TEST(SafetensorsHeader, RefusesUnknownTypesKeysAndMalformedEntries) {
  EXPECT_THAT(refusal(one("F4", "[2]", "[0,1]"), 1), HasSubstr("expected a known dtype, found \"F4\""));
  EXPECT_THAT(refusal(one("f32", "[1]", "[0,4]"), 4), HasSubstr("known dtype"));
  EXPECT_THAT(refusal(one("U8", "[-1]", "[0,1]"), 1), HasSubstr("integers from 0 on"));
  EXPECT_THAT(refusal(one("U8", "[1.0]", "[0,1]"), 1), HasSubstr("integers from 0 on"));
  EXPECT_THAT(refusal(one("U8", "[9223372036854775808]", "[0,1]"), 1), HasSubstr("integers from 0 on"));
  EXPECT_THAT(refusal(one("U8", "1", "[0,1]"), 1), HasSubstr("expected a list"));
  EXPECT_THAT(refusal(one("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1), HasSubstr("at most 8 dimensions"));
  EXPECT_EQ(refusal(one("U8", "[1,1,1,1,1,1,1,1]", "[0,1]"), 1), "accepted");
  EXPECT_THAT(refusal(one("U8", "[1]", "[0]"), 1), HasSubstr("data_offsets"));
  EXPECT_THAT(refusal(one("U8", "[1]", "[0,1.0]"), 1), HasSubstr("data_offsets"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[1]}})", 1), HasSubstr("found less"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1), HasSubstr("found \"x\""));
  EXPECT_THAT(refusal(R"({"a":1})", 0), HasSubstr("expected an object"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"a":1}})", 0), HasSubstr("expected strings"));
  EXPECT_THAT(refusal(R"({"__metadata__":[]})", 0), HasSubstr("object of strings"));
  EXPECT_THAT(refusal("[]", 0), HasSubstr("begins with '{'"));
  EXPECT_THAT(refusal(" {}", 0), HasSubstr("begins with '{'"));
  EXPECT_THAT(refusal("{", 0), HasSubstr("header: line 1"));
}

TEST(SafetensorsHeader, BoundsNamesCountsAndLength) {
  EXPECT_THAT(refusal(alone(tensor(std::string(513, 'n'), "U8", "[1]", "[0,1]")), 1), HasSubstr("name of 1 to 512 bytes"));
  EXPECT_THAT(refusal(alone(tensor("", "U8", "[1]", "[0,1]")), 1), HasSubstr("name of 1 to 512 bytes"));
  EXPECT_THAT(refusal(both(tensor("a", "U8", "[0]", "[0,0]"), tensor("b", "U8", "[0]", "[0,0]")), 0, {.tensors_max = 1}),
              HasSubstr("at most 1 tensors"));
  EXPECT_THAT(refusal("{}   ", 0, {.header_bytes_max = 4}), HasSubstr("header: expected at most 4 bytes"));
  EXPECT_FALSE(parse_safetensors_header("{}", 9));
}

TEST(SafetensorsHeader, StopsAtTheFirstTensorBeyondTheLimit) {
  std::string header = "{";
  for (int i = 0; i < 90'000; ++i) header += fmt::format("{}{}", i == 0 ? "" : ",", tensor(fmt::format("t{}", i), "U8", "[0]", "[0,0]"));
  EXPECT_THAT(refusal(header, 0), HasSubstr("at most 81920 tensors")) << "not the missing end of the object";
  EXPECT_THAT(refusal(std::string("{") + std::string(std::size_t{17} << 20, ' ') + "}", 0), HasSubstr("at most 16777216 bytes"));
}

TEST(SafetensorsFile, ReadsBackWhatWasWritten) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  ASSERT_TRUE(write_safetensors(
      path, {tensor_to_write("b", DType::bf16, {2, 1}, {1.5f, -2.0f}), tensor_to_write("a", DType::f32, {3}, {1, 2, 3})}));
  const Result<SafetensorsFile> file = SafetensorsFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->name(), "x.safetensors");
  ASSERT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ(file->tensors()[0].name, "b");
  const TensorInfo* a = file->find("a");
  ASSERT_NE(a, nullptr);
  std::vector<float> values(3);
  ASSERT_TRUE(file->read(*a, std::as_writable_bytes(std::span(values))));
  EXPECT_EQ(values, (std::vector<float>{1, 2, 3}));
  float last = 0;
  ASSERT_TRUE(file->read_part(*a, 8, std::as_writable_bytes(std::span(&last, 1))));
  EXPECT_EQ(last, 3.0f);
  EXPECT_EQ(file->find("c"), nullptr);
}

TEST(SafetensorsFile, RefusesLengthsThatLie) {
  const TemporaryFolder folder;
  const auto refused = [&](std::string_view content) {
    const Result<SafetensorsFile> file = SafetensorsFile::open(folder.write("x", content));
    return file ? "accepted" : file.error().code;
  };
  EXPECT_EQ(refused(""), "E_SAFETENSORS");
  EXPECT_EQ(refused("1234567"), "E_SAFETENSORS");
  EXPECT_EQ(refused(std::string(8, '\xff') + "{}"), "E_SAFETENSORS");
  EXPECT_EQ(refused(std::string("\3\0\0\0\0\0\0\0{}", 10)), "E_SAFETENSORS");
  EXPECT_EQ(refused(std::string("\0\0\0\0\0\0\0\0", 8)), "E_SAFETENSORS");
  EXPECT_EQ(refused(file_of("{}", "")), "accepted");
  EXPECT_EQ(refused(file_of("{}", "x")), "E_SAFETENSORS");
  EXPECT_EQ(SafetensorsFile::open(folder.file("absent")).error().code, "E_NO_FILE");
  EXPECT_EQ(SafetensorsFile::open(folder.path()).error().code, "E_FILE_TYPE");
}

TEST(SafetensorsFile, NamesWhatElseAFileIs) {
  const TemporaryFolder folder;
  for (const auto& [content, code, what] :
       {std::tuple(std::string("PK\x03\x04\x00\x00\x08\x08...", 11), "E_PICKLE", "PyTorch"),
        std::tuple(std::string("\x80\x02}q\x00(X\x01...", 11), "E_PICKLE", "pickle"),
        std::tuple(std::string("GGUF\3\0\0\0\0", 9), "E_SAFETENSORS", "GGUF"),
        std::tuple(std::string("version https://git-lfs.github.com/spec/v1"), "E_SAFETENSORS", "git lfs pull")}) {
    const Result<SafetensorsFile> file = SafetensorsFile::open(folder.write("x.safetensors", content));
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().code, code);
    EXPECT_THAT(file.error().message, AllOf(HasSubstr("x.safetensors: expected safetensors, found a"), HasSubstr(what)));
  }
}

TEST(SafetensorsFile, GivesAnErrorWhenTheFileShrinks) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x", file_of(one("U8", "[4096]", "[0,4096]"), std::string(4096, 'x')));
  const Result<SafetensorsFile> file = SafetensorsFile::open(path);
  ASSERT_TRUE(file);
  std::filesystem::resize_file(path, 100);
  std::vector<std::byte> out(4096);
  const Status read = file->read(file->tensors()[0], out);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, "E_READ");
  EXPECT_THAT(read.error().message, HasSubstr("changed since it was opened"));
}

TEST(SafetensorsFile, StaysReadableWhenItsNameGoes) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x", file_of(one("U8", "[1]", "[0,1]"), "x"));
  Result<SafetensorsFile> opened = SafetensorsFile::open(path);
  ASSERT_TRUE(opened);
  std::filesystem::remove(path);
  const SafetensorsFile moved = std::move(*opened);
  std::vector<std::byte> out(1);
  EXPECT_TRUE(moved.read(*moved.find("a"), out));
  EXPECT_EQ(out[0], std::byte{'x'});
}

TEST(SafetensorsFile, MessagesNeverHoldTheFolder) {
  const TemporaryFolder folder;
  const Result<SafetensorsFile> file = SafetensorsFile::open(folder.write("x", file_of("{", "")));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().message.find(folder.path()), std::string::npos);
}

}  // namespace
}  // namespace slora
