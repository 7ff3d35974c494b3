#pragma once
#include <xgrammar/xgrammar.h>

#include <chrono>

#include "base/result.h"

namespace slora {

// How much of an answer is tried, and how much time of the processor that may take.
struct TrialLimits {
  int tokens_max = 256;
  std::chrono::nanoseconds time_max = std::chrono::milliseconds(500);
};

// Writes the beginnings of a few answers of the form, each in another way, so that a form whose masks take too long is refused before a
// request begins. Those of ambiguous grammars do: what the library has to remember of them grows with each byte. Blocks, in a single call
// of the library for a time that nothing bounds. Error "constraint_too_costly".
[[nodiscard]] Status try_form(const xgrammar::CompiledGrammar& grammar, const TrialLimits& limits = {});

}  // namespace slora
