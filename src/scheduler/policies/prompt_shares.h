#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "scheduler/policy.h"

namespace slora {

// Among which prompts tokens are shared.
enum class SharedAmong : std::uint8_t { all, client, priority };

// How the prompts of a step share its tokens, so that one of 100,000 tokens does not hold up all that come after it for 200 steps, and
// prompts of one length are still computed one after the other, which is what gives them the earliest first tokens on average.
// A prompt that can't be completed in the step leaves tokens to those after it that have fewer tokens left to compute: the first in order
// up to half of what there is, the others all but one token, so that sequences start in their order all the same. What nobody takes goes
// back to the first (Policy::prompt_tokens). So the first prompt takes at most twice its time, and one of N tokens, alone after long ones,
// N / (half the tokens of a step) steps.
//
// Part of a policy, on the scheduler's thread; allocates nothing once it has grown.
class PromptShares {
 public:
  // For one step, after its orders are decided.
  void begin(const StepView& view, const StepDecision& decision);
  // Of the `left` tokens that this prompt could take.
  [[nodiscard]] std::int32_t share_of(const SequenceView& sequence, std::int32_t left, SharedAmong among);

 private:
  struct Prompt {
    SequenceId id;
    ClientId client;
    std::int32_t priority;
    std::int32_t tokens;
  };
  void add(const SequenceView& sequence);
  [[nodiscard]] std::size_t place_of(SequenceId id);

  std::vector<Prompt> prompts_;  // in the order in which they get tokens
  std::size_t next_ = 0;         // where the next call probably is
};

}  // namespace slora
