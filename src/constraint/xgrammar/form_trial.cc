#include "constraint/xgrammar/form_trial.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "base/thread_time.h"
#include "constraint/xgrammar/grammar_constraint.h"

namespace slora {
namespace {

// Chooses one of the tokens that may come next.
using Choice = std::function<TokenId(const std::vector<TokenId>&)>;

void read_tokens(const std::vector<std::uint32_t>& mask, std::vector<TokenId>& tokens) {
  tokens.clear();
  for (std::size_t word = 0; word < mask.size(); ++word) {
    for (std::uint32_t bits = mask[word]; bits != 0; bits &= bits - 1)
      tokens.push_back(static_cast<TokenId>(word * 32) + std::countr_zero(bits));
  }
}

Status write_answer(const CompiledGrammarConstraint& form, std::size_t vocabulary, const TrialLimits& limits, const Choice& choose) {
  const Timestamp begin = thread_time();
  const std::unique_ptr<TokenConstraint> constraint = form.start();
  std::vector<std::uint32_t> mask((vocabulary + 31) / 32);
  std::vector<TokenId> allowed;
  for (int i = 0; i < limits.tokens_max; ++i) {
    if (Status filled = constraint->fill(mask); !filled) return filled;
    read_tokens(mask, allowed);
    if (allowed.empty()) return {};
    if (Status accepted = constraint->accept(choose(allowed)); !accepted) return accepted;
    if (thread_time() - begin <= limits.time_max) continue;
    return error("constraint_too_costly", "The form takes more than {} ms for {} tokens; write it with fewer ambiguous repetitions",
                 std::chrono::duration_cast<std::chrono::milliseconds>(limits.time_max).count(), i + 1);
  }
  return {};
}

}  // namespace

Status try_form(const xgrammar::CompiledGrammar& grammar, const TrialLimits& limits) {
  const auto counted_elsewhere = std::make_shared<const CompiledForm>(CompiledForm{{}, grammar});
  const CompiledGrammarConstraint form(counted_elsewhere, {}, {.token_time_max = limits.time_max});
  const std::vector<std::string>& texts = grammar.GetTokenizerInfo().GetDecodedVocab();
  std::mt19937 numbers(1);  // the same in each trial
  const auto any = [&](const std::vector<TokenId>& allowed) { return allowed[numbers() % allowed.size()]; };
  const auto first = [](const std::vector<TokenId>& allowed) { return allowed.front(); };
  const auto longest = [&](const std::vector<TokenId>& allowed) {
    return *std::ranges::max_element(allowed, {}, [&](TokenId token) { return texts[static_cast<std::size_t>(token)].size(); });
  };
  for (const Choice& choose : {Choice(first), Choice(longest), Choice(any)}) {
    if (Status written = write_answer(form, texts.size(), limits, choose); !written) return written;
  }
  return {};
}

}  // namespace slora
