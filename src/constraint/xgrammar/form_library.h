#pragma once
#include <xgrammar/xgrammar.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "constraint/constraint.h"
#include "constraint/vocabulary.h"

namespace slora {

inline constexpr int kWhitespaceMax = 8;  // between two tokens of JSON

// Which texts the library knows of the tokens: structural tags may name special ones.
enum class KnownTexts : std::uint8_t { without_marks, all };

// The library's own form of a vocabulary. Any thread, once made.
[[nodiscard]] xgrammar::TokenizerInfo tokenizer_info_of(const ConstraintVocabulary& vocabulary, KnownTexts known);

// Compiles a form that check_constraint() has passed: blocks, for a time and in memory that nothing bounds. What the library ignores of it
// it says on stderr. Error "bad_constraint". Throws nothing but std::bad_alloc.
[[nodiscard]] Result<xgrammar::CompiledGrammar> compile_form(const ConstraintSpec& spec, const xgrammar::TokenizerInfo& tokenizer);

// What a message of the library says, without the time, the place in its sources and the condition of a check that it begins with.
[[nodiscard]] std::string text_of_message(std::string_view message);

}  // namespace slora
