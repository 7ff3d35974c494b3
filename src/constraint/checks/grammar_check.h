#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace slora {

inline constexpr std::size_t kRulesMax = 4096;

// Refuses what the library would take too long for, or what is no plain grammar: look-ahead, functions of other programs, counts that are
// too large, also of rules within each other. Whether the rest is a grammar is the library's to say. Errors "bad_constraint" and
// "unsupported_constraint".
[[nodiscard]] Status check_grammar(std::string_view grammar);

// A grammar of exactly these texts.
[[nodiscard]] std::string grammar_of_choices(std::span<const std::string> choices);

}  // namespace slora
