#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "api/text_model.h"
#include "base/testing/source_path.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::Contains;

constexpr std::int32_t kReportRows = 288;

const Json& golden_texts() {
  static const Json texts = read_json_file(source_path("tests/golden/reports/texts.json")).value();
  return texts;
}

std::string base_file(const std::string& name) { return source_path("tests/golden/reports/base/" + name); }

void write_files(const TemporaryFolder& folder, const Json& golden) {
  for (const auto& [name, content] : golden["files"].items()) {
    folder.write(name, content.is_string() ? content.get<std::string>() : content.dump());
  }
}

// That the text side does what transformers does with the files of a golden case.
void expect_as_golden(const TextModel& text, const Json& golden) {
  const auto name = golden["name"].get<std::string>();
  const Tokenizer& tokenizer = text.tokenizer();
  for (const Json& one : golden["encoded"]) {
    const auto ids = one["ids"].get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer.encode(one["text"].get<std::string>(), SpecialTokens::add).value(), ids) << name << ": " << one;
    EXPECT_EQ(tokenizer.decode(ids, SpecialText::keep), one["kept"]) << name << ": " << one;
    EXPECT_EQ(tokenizer.decode(ids, SpecialText::skip), one["skipped"]) << name << ": " << one;
  }
  const std::string prompt = text.render({.messages = golden_texts()["messages"]}).value();
  EXPECT_EQ(tokenizer.encode(prompt, SpecialTokens::omit).value(), golden["chat"].get<std::vector<TokenId>>()) << name;
  EXPECT_THAT(text.sampling().end_tokens, Contains(golden["end"].get<TokenId>())) << name;
  EXPECT_THAT(text.sampling().end_tokens, Contains(257)) << name << ": generation_config.json's ends too";
}

TEST(TextModelGolden, AFolderOfABaseMeansWhatTransformersReads) {
  for (const Json& golden : golden_texts()["cases"]) {
    const TemporaryFolder folder;
    for (const char* name : {"config.json", "generation_config.json", "tokenizer.json"}) {
      std::filesystem::create_symlink(base_file(name), folder.path() + "/" + name);
    }
    write_files(folder, golden);
    const auto text = TextModel::load(folder.path(), {.vocabulary_size = kReportRows});
    ASSERT_TRUE(text) << golden["name"] << text.error().message;
    expect_as_golden(**text, golden);
  }
}

TEST(TextModelGolden, AFolderOfAnAdapterMeansTheSame) {
  const auto base = TextModel::load(source_path("tests/golden/reports/base"), {.vocabulary_size = kReportRows}).value();
  for (const bool has_tokenizer : {false, true}) {
    for (const Json& golden : golden_texts()["cases"]) {
      const TemporaryFolder folder;
      if (has_tokenizer) std::filesystem::create_symlink(base_file("tokenizer.json"), folder.path() + "/tokenizer.json");
      write_files(folder, golden);
      const auto text = TextModel::of_adapter(TextFiles::read(folder.path()).value(), base);
      ASSERT_TRUE(text) << golden["name"] << text.error().message;
      expect_as_golden(**text, golden);
    }
  }
}

// Tokens that only tokenizer.json has, in the other form of the same vocabulary: written without line breaks.
TEST(TextModelGolden, AnAdaptersTokenizerJsonMayAddTokens) {
  const auto base = TextModel::load(source_path("tests/golden/reports/base"), {.vocabulary_size = kReportRows}).value();
  Json json = read_json_file(base_file("tokenizer.json")).value();
  const TemporaryFolder folder;
  folder.write("tokenizer.json", json.dump());
  const auto same = TextModel::of_adapter(TextFiles::read(folder.path()).value(), base).value();
  EXPECT_EQ(&same->tokenizer(), &base->tokenizer()) << "the same tokenizer is the same object";

  Json token = json["added_tokens"][0];
  token["id"] = 260;
  token["content"] = "<tool>";
  token["special"] = false;
  json["added_tokens"].push_back(token);
  folder.write("tokenizer.json", json.dump());
  const auto text = TextModel::of_adapter(TextFiles::read(folder.path()).value(), base).value();
  EXPECT_EQ(text->tokenizer().encode("a<tool>b", SpecialTokens::add).value(), (std::vector<TokenId>{64, 260, 65}));
  EXPECT_EQ(text->tokenizer().token_text(260), "<tool>");
  EXPECT_EQ(base->tokenizer().token_text(260), "");
}

}  // namespace
}  // namespace slora
