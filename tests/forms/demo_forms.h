#pragma once
#include <bit>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/testing/source_path.h"
#include "constraint/constraint.h"
#include "constraint/xgrammar/xgrammar_compiler.h"
#include "formats/json.h"
#include "text/tokenizer.h"

namespace slora {

inline constexpr std::int32_t kDemoVocabulary = 1722;

inline constexpr TokenId kDemoEnd = 1;

inline constexpr ClientId kClient{1};

inline ConstraintVocabulary demo_vocabulary(const Tokenizer& tokenizer) {
  ConstraintVocabulary vocabulary;
  for (TokenId token = 0; token < kDemoVocabulary; ++token) {
    vocabulary.texts.push_back(tokenizer.token_bytes(token));
    if (tokenizer.is_special(token)) vocabulary.marks.push_back(token);
  }
  return vocabulary;
}

// The demo model's vocabulary and a compiler for it, whose bound of time no test reaches on a slow machine.
struct DemoForms {
  DemoForms() {
    for (const TokenId mark : vocabulary.marks) texts[static_cast<std::size_t>(mark)].clear();
  }

  const std::shared_ptr<const Tokenizer> tokenizer =
      Tokenizer::from_json(read_json_file(source_path("demo/model/tokenizer.json")).value()).value();
  const ConstraintVocabulary vocabulary = demo_vocabulary(*tokenizer);
  XgrammarCompiler compiler{vocabulary, {.patience = std::chrono::minutes(5), .match = {.token_time_max = std::chrono::seconds(20)}}};
  const std::vector<TokenId> ends = {kDemoEnd};
  std::vector<std::string> texts = vocabulary.texts;  // [vocabulary] empty: special
};

inline DemoForms& demo_forms() {
  static DemoForms forms;
  return forms;
}

inline std::vector<TokenId> tokens_in(const std::vector<std::uint32_t>& mask) {
  std::vector<TokenId> tokens;
  for (std::size_t word = 0; word < mask.size(); ++word) {
    for (std::uint32_t bits = mask[word]; bits != 0; bits &= bits - 1)
      tokens.push_back(static_cast<TokenId>(word * 32) + std::countr_zero(bits));
  }
  return tokens;
}

inline std::vector<std::uint32_t> demo_mask() { return std::vector<std::uint32_t>((kDemoVocabulary + 31) / 32); }

}  // namespace slora
