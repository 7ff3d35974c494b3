#include "constraint/xgrammar/form_library.h"

#include <algorithm>
#include <new>
#include <optional>
#include <utility>
#include <variant>

#include "constraint/xgrammar/utf8_reader.h"

namespace slora {
namespace {

xgrammar::CompiledGrammar compile_with(xgrammar::GrammarCompiler& compiler, const ConstraintSpec& spec) {
  switch (spec.kind) {
    case ConstraintKind::json_schema:
      return compiler.CompileJSONSchema(spec.text, spec.any_whitespace, std::nullopt, std::nullopt, /*strict_mode=*/false, kWhitespaceMax);
    case ConstraintKind::regex:
      return compiler.CompileRegex(spec.text);
    case ConstraintKind::structural_tag:
      return compiler.CompileStructuralTag(spec.text);
    case ConstraintKind::choice:
    case ConstraintKind::grammar:
      break;
  }
  return compiler.CompileGrammar(spec.text);
}

// Whether a text in UTF-8 may have these bytes somewhere.
bool is_part_of_utf8(std::string_view bytes) {
  const auto continues = [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; };
  std::size_t begun = 0;  // bytes of a character that began before
  while (begun < std::min<std::size_t>(bytes.size(), 3) && continues(bytes[begun])) ++begun;
  return Utf8Reader().take(bytes.substr(begun));
}

}  // namespace

std::string text_of_message(std::string_view message) {
  if (message.starts_with('[')) message.remove_prefix(std::min(message.find("] ") + 2, message.size()));
  if (const std::size_t at = message.find(".cc:"); at != std::string_view::npos && at < 120) {
    const std::size_t colon = message.find(": ", at);
    if (colon != std::string_view::npos) message.remove_prefix(colon + 2);
  }
  // Of its checks only what they say, not the condition that does not hold.
  constexpr std::string_view condition_end = ") is false: ";
  if (message.starts_with("Check failed: (") && message.find(condition_end) != std::string_view::npos)
    message.remove_prefix(message.find(condition_end) + condition_end.size());
  while (message.ends_with('\n')) message.remove_suffix(1);
  return std::string(message.substr(0, 500));
}

xgrammar::TokenizerInfo tokenizer_info_of(const ConstraintVocabulary& vocabulary, KnownTexts known) {
  std::vector<std::string> texts = vocabulary.texts;
  if (known == KnownTexts::without_marks) {
    for (const TokenId mark : vocabulary.marks) texts[static_cast<std::size_t>(mark)].clear();
  }
  for (std::string& text : texts) {
    if (!is_part_of_utf8(text)) text.clear();
  }
  // End tokens are set for each sequence (grammar_constraint.h); none of the library's guesses.
  return xgrammar::TokenizerInfo(texts, xgrammar::VocabType::RAW, static_cast<int>(texts.size()), std::vector<std::int32_t>());
}

Result<xgrammar::CompiledGrammar> compile_form(const ConstraintSpec& spec, const xgrammar::TokenizerInfo& tokenizer) {
  try {
    xgrammar::GrammarCompiler compiler(tokenizer, /*max_threads=*/1, /*cache_enabled=*/false);
    return compile_with(compiler, spec);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& thrown) {
    return error("bad_constraint", "{}", text_of_message(thrown.what()));
  }
}

}  // namespace slora
