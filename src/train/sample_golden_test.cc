#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "formats/tokenizer_file.h"
#include "text/tokenizer_class.h"
#include "text/tokenizer_settings.h"
#include "train/sample_maker.h"

// Compares with the tokens and labels that transformers makes (tools/golden_training.py).

namespace slora {
namespace {

ModelText model_text(const Json& group, const Json& templates) {
  TokenizerFiles files = read_tokenizer_files(source_path("tests/golden/tokenizers/" + group["tokenizer"].get<std::string>())).value();
  files.model_type = "llama";  // without a config.json transformers takes the class as it is named
  apply_tokenizer_class(files);
  files.chat_template = templates[group["template"].get<std::string>()];
  const auto tokenizer = Tokenizer::from_json(*files.tokenizer, tokenizer_settings(files)).value();
  ModelText text{tokenizer, ChatRenderer::create(files), {}, {}, {}, static_cast<std::int32_t>(tokenizer->vocabulary_size())};
  for (const Json& end : group["ends"]) text.end_tokens.push_back(tokenizer->token_id(end.get<std::string>()).value());
  std::ranges::sort(text.end_tokens);
  text.eos = tokenizer->token_id(files.special_tokens.at("eos_token"));
  if (files.special_tokens.contains("bos_token")) text.bos = tokenizer->token_id(files.special_tokens.at("bos_token"));
  return text;
}

Json as_golden(const std::vector<Sample>& samples) {
  Json out = Json::array();
  for (const Sample& sample : samples) {
    std::string labels;
    for (const bool label : sample.labels) labels += label ? '1' : '0';
    out.push_back({{"tokens", sample.tokens}, {"labels", labels}});
  }
  return out;
}

TEST(SampleGolden, HasTheTokensAndLabelsOfTransformers) {
  const Json golden = read_json_file(source_path("tests/golden/training/labels.json")).value();
  std::size_t count = 0, refused = 0;
  for (const Json& group : golden["groups"]) {
    const ModelText text = model_text(group, golden["templates"]);
    for (const Json& line : group["lines"]) {
      SampleMaker maker(text, 1024);
      const Result<DataLine> parsed = parse_data_line(line["line"].dump(), text.vocabulary_size);
      ASSERT_TRUE(parsed) << parsed.error().message;
      const Result<std::vector<Sample>> samples = maker.make(*parsed);
      const std::string where = group["template"].get<std::string>() + ": " + line["line"].dump();
      if (line.contains("refused")) {
        EXPECT_FALSE(samples) << where;
        ++refused;
      } else {
        ASSERT_TRUE(samples) << where << ": " << samples.error().message;
        EXPECT_EQ(as_golden(*samples), line["samples"]) << where;
        ++count;
      }
    }
  }
  EXPECT_GE(count, 100U);
  EXPECT_GE(refused, 5U);
}

}  // namespace
}  // namespace slora
