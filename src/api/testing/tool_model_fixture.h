#pragma once
#include <optional>
#include <string>
#include <vector>

#include "api/testing/generation_job_fixture.h"

namespace slora {

// A model whose chat template writes Hermes' tool calls and marks of reasoning.
class ToolModelFixture : public GenerationJobFixture {
 protected:
  ToolModelFixture() {
    texts.emplace(tool_folder.load(kVocabulary));
    preparer.emplace(std::vector<std::string>{"base"}, kVocabulary, *texts, generator);
    generator.context = 512;
  }

  // The tokens of a text, one event each, and the end.
  void deliver_all(std::size_t sequence, const std::string& words, EndReason end = EndReason::stop) {
    const std::vector<TokenId> tokens = text.tokenizer().encode(words, SpecialTokens::omit).value();
    for (const TokenId token : tokens) deliver(sequence, token);
    if (end == EndReason::stop) return deliver(sequence, kEnd, end);
    deliver(sequence, text.tokenizer().encode(" ", SpecialTokens::omit).value()[0], end);
  }

  const TextModelFolder tool_folder{
      R"({"eos_token_id": 3})",
      "{# <tool_call> with \"arguments\", after <think> #}{% for message in messages %}{{ message.content }}{% endfor %}"};
  std::optional<AdapterTexts> texts;
};

}  // namespace slora
