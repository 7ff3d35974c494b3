// What is refused is in tests/golden/foreign_refused, which foreign_adapter_test reads.
#include "formats/torch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "base/testing/source_path.h"
#include "formats/pickle.h"

namespace slora {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

TEST(TorchFile, HasTheTensorsOfEitherForm) {
  for (const char* name : {"zip.bin", "old_form.bin", "strides.bin"}) {
    SCOPED_TRACE(name);
    const auto tensors = read_torch_file(ReadOnlyFile::open(source_path(std::string("tests/corpora/torch_file/") + name)).value()).value();
    ASSERT_EQ(tensors.size(), 1u);
    EXPECT_EQ(tensors[0].info.name, "t");
    EXPECT_EQ(tensors[0].info.dtype, DType::f32);
    std::vector<float> numbers(4);
    ASSERT_EQ(tensors[0].info.bytes, 16u);
    ASSERT_TRUE(tensors[0].read(std::as_writable_bytes(std::span(numbers))));
    EXPECT_THAT(numbers, Each(1.0f));
  }
}

TEST(Pickle, IsInertData) {
  const std::string_view text("\x80\x02}q\x00X\x01\x00\x00\x00kq\x01K\x07s.", 17);
  const Result<Pickle> pickle = parse_pickle(std::as_bytes(std::span(text)), {});
  ASSERT_TRUE(pickle) << pickle.error().message;
  EXPECT_EQ(pickle->bytes, text.size());
  const Pickle::Value& root = pickle->at(pickle->root);
  ASSERT_EQ(root.kind, Pickle::Kind::dictionary);
  EXPECT_EQ(pickle->at(root.items[0]).text, "k");
  EXPECT_EQ(pickle->at(root.items[1]).integer, 7);
}

TEST(Pickle, NamesOnlyWhatItMay) {
  const std::string_view text =
      "\x80\x02"
      "cposix\nsystem\n.";
  const std::array<std::string_view, 2> names = {"posix systems", "collections OrderedDict"};
  const Result<Pickle> refused = parse_pickle(std::as_bytes(std::span(text)), names);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "E_PICKLE");
  EXPECT_THAT(refused.error().message, HasSubstr("\"system\" of the module \"posix\""));
}

TEST(Pickle, HasAsManyValuesAsItsLimit) {
  const std::string_view text = "\x80\x02(NNNt.";  // a tuple of three
  EXPECT_TRUE(parse_pickle(std::as_bytes(std::span(text)), {}, {.values_max = 4}));
  EXPECT_EQ(parse_pickle(std::as_bytes(std::span(text)), {}, {.values_max = 3}).error().code, "E_PICKLE");
}

}  // namespace
}  // namespace slora
