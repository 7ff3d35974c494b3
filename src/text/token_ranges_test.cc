#include "text/token_ranges.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"

namespace slora {
namespace {

Json ranges_golden(const std::string& file) { return read_json_file(source_path("tests/golden/tokenizers/" + file)).value(); }

// The parts of the text, one for each token, separated by bars.
std::string cut_at_ranges(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<TokenId> ids = tokenizer.encode(text, SpecialTokens::omit).value();
  std::string out;
  for (const TextRange& range : token_ranges(tokenizer, text, ids)) {
    if (!out.empty()) out += '|';
    out += text.substr(range.begin, range.end - range.begin);
  }
  return out;
}

class TokenRangesOf : public ::testing::TestWithParam<const char*> {
 protected:
  const std::shared_ptr<const Tokenizer> tokenizer =
      Tokenizer::from_json(ranges_golden(GetParam() + std::string("/tokenizer.json"))).value();
};

TEST_P(TokenRangesOf, CoverTheTextInOrder) {
  std::size_t exact = 0, all = 0;
  for (const Json& sample : ranges_golden("sample.json")) {
    const std::string text = to_valid_utf8(sample.get<std::string>());
    const std::vector<TokenId> ids = tokenizer->encode(text, SpecialTokens::omit).value();
    const std::vector<TextRange> ranges = token_ranges(*tokenizer, text, ids);
    ASSERT_EQ(ranges.size(), ids.size());
    TextRange last;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const bool is_same = ranges[i].begin == last.begin && ranges[i].end == last.end;  // of a rewritten part
      ASSERT_TRUE(is_same || ranges[i].begin >= last.end) << text;
      ASSERT_LE(ranges[i].begin, ranges[i].end) << text;
      last = ranges[i];
      exact += text.substr(last.begin, last.end - last.begin) == tokenizer->token_bytes(ids[i]);
    }
    all += ids.size();
    EXPECT_TRUE(ids.empty() || last.end == text.size()) << text;
  }
  EXPECT_GT(exact, all * 8 / 10) << "most tokens are parts of the text as it is";
}

INSTANTIATE_TEST_SUITE_P(Families, TokenRangesOf, ::testing::Values("gemma", "gpt2", "llama2", "llama3", "mistral", "qwen2"),
                         [](const auto& family) { return std::string(family.param); });

TEST(TokenRanges, GiveRewrittenPartsToTheirTokensAsAWhole) {
  const auto tokenizer = Tokenizer::from_json(ranges_golden("qwen2/tokenizer.json")).value();
  const std::string part = "e\u0301t";  // becomes one character and a letter
  const std::vector<TokenId> ids = tokenizer->encode(part, SpecialTokens::omit).value();
  std::string whole = part;
  for (std::size_t i = 1; i < ids.size(); ++i) whole += '|' + part;
  EXPECT_EQ(cut_at_ranges(*tokenizer, "<|im_start|>" + part + "<|im_end|>x"), "<|im_start|>|" + whole + "|<|im_end|>|x");
}

TEST(TokenRanges, KnowInsertedSpaces) {
  const auto tokenizer = Tokenizer::from_json(ranges_golden("llama2/tokenizer.json")).value();
  EXPECT_EQ(cut_at_ranges(*tokenizer, "<s>"), "<s>");
  const std::string cut = cut_at_ranges(*tokenizer, "the</s>the");
  EXPECT_EQ(cut.substr(cut.find('<')), "</s>|the") << cut;
}

}  // namespace
}  // namespace slora
