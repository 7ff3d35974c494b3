#include "train/training_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "formats/temporary_folder.h"
#include "text/tokenizer_settings.h"
#include "train/data_report.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kChatml =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
constexpr const char* kAnswered = R"({"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi there."}]})";

class TrainingDataTest : public ::testing::Test {
 protected:
  static ModelText text_with(const std::string& chat_template) {
    TokenizerFiles files = read_tokenizer_files(source_path("tests/golden/tokenizers/qwen2")).value();
    files.chat_template = chat_template;
    const auto tokenizer = Tokenizer::from_json(*files.tokenizer, tokenizer_settings(files)).value();
    const TokenId end = tokenizer->token_id("<|im_end|>").value();
    return {tokenizer, ChatRenderer::create(files), {end}, end, {}, static_cast<std::int32_t>(tokenizer->vocabulary_size())};
  }

  Result<TrainingData> read(const std::string& content, std::size_t tokens_max = 1024) {
    folder_.write("data.jsonl", content);
    return read_training_data(folder_.file("data.jsonl"), text_, tokens_max, {});
  }
  std::string refusal_of(const std::string& content, std::size_t tokens_max = 1024) {
    const Result<TrainingData> data = read(content, tokens_max);
    return data ? "taken" : data.error().code + " " + data.error().message;
  }
  // The only sample, with what is learned in brackets.
  std::string shown(const std::string& line, std::size_t tokens_max = 1024) {
    const Result<TrainingData> data = read(line, tokens_max);
    if (!data) return data.error().message;
    std::string out;
    for (const Sample& sample : data->samples) out += (out.empty() ? "" : " / ") + shown_sample(sample, *text_.tokenizer, {"[", "]"});
    return out;
  }

  const TemporaryFolder folder_;
  ModelText text_ = text_with(kChatml);
};

TEST_F(TrainingDataTest, LearnsAnswersWithTheirEnds) {
  EXPECT_EQ(shown(kAnswered), "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n[Hi there.<|im_end|>]\n");
  EXPECT_EQ(shown(R"({"instruction": "I", "output": "O"})"), "<|im_start|>user\nI<|im_end|>\n<|im_start|>assistant\n[O<|im_end|>]\n");
  EXPECT_EQ(shown(R"({"text": "ab"})").back(), ']');
  EXPECT_EQ(shown(R"({"prompt": "7 + 5 =", "completion": " 12"})"), "7 + 5 =[ 12<|im_end|>]");
  EXPECT_EQ(shown(R"({"prompt": "7 + 5 = ", "completion": "12<|im_end|>"})"), "7 + 5 = [12<|im_end|>]") << "one end is enough";
  EXPECT_EQ(shown(R"({"segments": [{"label": false, "text": "Q"}, {"label": true, "text": " A<|im_end|>"}]})"), "Q[ A<|im_end|>]");
}

TEST_F(TrainingDataTest, LearnsNoTurnAtTheStart) {
  const std::string line = R"({"messages": [{"role": "assistant", "content": "A"}, {"role": "user", "content": "U"},
                                            {"role": "assistant", "content": "B"}]})";
  std::string one_line = line;
  std::ranges::replace(one_line, '\n', ' ');
  EXPECT_EQ(shown(one_line), "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n[B<|im_end|>]\n");
}

TEST_F(TrainingDataTest, GivesASampleForEachAnswerWhereFormerTurnsChange) {
  text_ = text_with(
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if loop.last and m.role == 'assistant' %}!{% endif %}{{ m.content }}<|im_end|>\n"
      "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}");
  const std::string turn = R"({"role": "user", "content": "U"}, {"role": "assistant", "content": "A"})";
  const Result<TrainingData> data = read(fmt::format(R"({{"messages": [{}, {}]}})", turn, turn));
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->samples.size(), 2U);
  EXPECT_EQ(data->counts.split_lines, 1);
  EXPECT_EQ(shown_sample(data->samples[1], *text_.tokenizer, {"[", "]"}),
            "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nU<|im_end|>\n"
            "<|im_start|>assistant\n[!A<|im_end|>]\n");
}

TEST_F(TrainingDataTest, RefusesATemplateThatDoesNotContinueItsPrompt) {
  text_ = text_with("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}bot:{% endif %}");
  EXPECT_THAT(refusal_of(kAnswered), AllOf(HasSubstr("data.jsonl, line 1: the model's chat template doesn't write messages[1]"),
                                           HasSubstr("the prompt ends with \"bot:\""), HasSubstr("\"assistant: Hi there.")));
}

TEST_F(TrainingDataTest, RefusesAnAnswerThatJoinsThePromptsLastToken) {
  text_ =
      text_with("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}");
  EXPECT_THAT(refusal_of(kAnswered), HasSubstr("line 1: the tokens of the prompt are not the first ones"));
}

TEST_F(TrainingDataTest, CutsSamplesAndDropsThoseWithoutLabels) {
  const Result<TrainingData> whole = read(kAnswered);
  const std::size_t length = whole->samples[0].tokens.size();
  EXPECT_EQ(shown(kAnswered, length - 2), "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n[Hi there.]");
  const std::string unanswered = R"({"messages": [{"role": "user", "content": "U"}]})";
  const Result<TrainingData> data = read(std::string(kAnswered) + "\n" + unanswered + "\n");
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->samples.size(), 1U);
  EXPECT_EQ(data->counts.without_labels, 1);
  EXPECT_THAT(refusal_of(std::string(kAnswered) + "\n" + unanswered + "\n" + unanswered),
              HasSubstr("data.jsonl: of 3 samples 2 have nothing to learn: expected at most half"));
  EXPECT_THAT(refusal_of(kAnswered, 5), HasSubstr("In 1 all labels come after the first 5 tokens"));
  EXPECT_THAT(refusal_of("\n"), HasSubstr("E_DATA data.jsonl: expected samples"));
}

TEST_F(TrainingDataTest, CountsAnswersWithoutAnEnd) {
  EXPECT_EQ(read(kAnswered)->counts.turns_without_end, 0);
  text_ = text_with("{% for m in messages %}{{ m.content }}{% endfor %}");
  const Result<TrainingData> data = read(kAnswered);
  EXPECT_EQ(data->counts.turns, 1);
  EXPECT_EQ(data->counts.turns_without_end, 1);
}

TEST_F(TrainingDataTest, LeavesMarkedTurnsOutThatAreNotLearned) {
  text_ = text_with(
      "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
      "{% else %}{{ m.content }}{% endif %};{% endfor %}");
  const std::string line = R"({"messages": [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A", "weight": 0},)"
                           R"( {"role": "user", "content": "V"}, {"role": "assistant", "content": "B"}]})";
  EXPECT_EQ(shown(line), "U;A<|im_end|>;V;[B<|im_end|>];");
  text_ = text_with("{% generation %}{{ messages[1].content }}{% endgeneration %}");
  EXPECT_THAT(refusal_of(line), HasSubstr("marks 1 parts of a conversation with 2 turns of the assistant"));
}

TEST_F(TrainingDataTest, NamesTheLineAndTheKey) {
  EXPECT_THAT(refusal_of(std::string(kAnswered) + "\n\n{\"messages\": [{\"role\": \"bot\"}]}"),
              HasSubstr("E_DATA data.jsonl, line 3: messages[0].role: expected"));
  EXPECT_THAT(refusal_of(std::string(kAnswered) + "\n{"), HasSubstr("E_BAD_JSON data.jsonl, line 2: "));
}

TEST_F(TrainingDataTest, FindsTheFilesOfAFolder) {
  EXPECT_THAT(find_data_files(folder_.path()).error().message, HasSubstr("expected a file train.jsonl in this folder"));
  folder_.write("train.jsonl", "");
  EXPECT_EQ(find_data_files(folder_.path())->eval, "");
  folder_.write("valid.jsonl", "");
  EXPECT_EQ(find_data_files(folder_.path())->eval, folder_.file("valid.jsonl"));
  EXPECT_EQ(find_data_files("x.jsonl")->train, "x.jsonl");
}

TEST_F(TrainingDataTest, SaysWhatTheDataHolds) {
  const Result<TrainingData> data = read(R"({"text": "ab", "id": 7})");
  EXPECT_THAT(
      data_summary(*data, "data.jsonl", 1024),
      AllOf(HasSubstr("data.jsonl, 1 lines"), HasSubstr("unknown keys    \"id\" (1 lines)"), HasSubstr("dropped         0 samples")));
}

TEST_F(TrainingDataTest, ShowsControlCharactersAsNumbers) {
  const Result<TrainingData> data = read(R"({"text": "a\u001b[2Jb"})");
  EXPECT_THAT(shown_sample(data->samples[0], *text_.tokenizer, {"[", "]"}), HasSubstr("\\x1B"));
}

}  // namespace
}  // namespace slora
