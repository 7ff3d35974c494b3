#include "constraint/xgrammar/form_trial.h"

#include <bit>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/thread_time.h"
#include "constraint/xgrammar/grammar_constraint.h"

namespace slora {
namespace {

constexpr int kSamples = 32;

// Chooses one of the tokens that a mask allows; -1: there is none.
using Choice = std::function<TokenId(std::span<const std::uint32_t>)>;

// The first allowed token from `begin` on, and from the front again after the last.
TokenId token_from(std::span<const std::uint32_t> mask, std::size_t begin) {
  std::uint32_t bits = mask[begin / 32] & (~0U << begin % 32);
  for (std::size_t i = 0; i <= mask.size(); bits = mask[(begin / 32 + ++i) % mask.size()]) {
    if (bits != 0) return static_cast<TokenId>((begin / 32 + i) % mask.size() * 32) + std::countr_zero(bits);
  }
  return -1;
}

Status write_answer(const CompiledGrammarConstraint& form, std::size_t vocabulary, const TrialLimits& limits, const Choice& choose) {
  Timestamp begin = thread_time();
  const std::unique_ptr<TokenConstraint> constraint = form.start();
  std::vector<std::uint32_t> mask((vocabulary + 31) / 32);
  Timestamp taken = thread_time() - begin;  // by the library
  for (int i = 0; i < limits.tokens_max; ++i) {
    begin = thread_time();
    if (Status filled = constraint->fill(mask); !filled) return filled;
    taken += thread_time() - begin;
    const TokenId chosen = choose(mask);
    if (chosen < 0) return {};
    begin = thread_time();
    if (Status accepted = constraint->accept(chosen); !accepted) return accepted;
    taken += thread_time() - begin;
    if (taken <= limits.time_max) continue;
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
  const auto first = [](std::span<const std::uint32_t> mask) { return token_from(mask, 0); };
  const auto any = [&](std::span<const std::uint32_t> mask) { return token_from(mask, numbers() % (32 * mask.size())); };
  const auto long_one = [&](std::span<const std::uint32_t> mask) {
    TokenId longest = any(mask);
    for (int i = 1; i < kSamples && longest >= 0; ++i) {
      const TokenId other = any(mask);
      if (texts[static_cast<std::size_t>(other)].size() > texts[static_cast<std::size_t>(longest)].size()) longest = other;
    }
    return longest;
  };
  for (const Choice& choose : {Choice(first), Choice(long_one), Choice(any)}) {
    if (Status written = write_answer(form, texts.size(), limits, choose); !written) return written;
  }
  return {};
}

}  // namespace slora
