#pragma once
#include <memory>
#include <optional>

#include "base/ids.h"
#include "constraint/constraint.h"

namespace slora {

// The marks of a model's reasoning where they are one token each.
struct ReasoningMarks {
  std::optional<TokenId> open;  // none: the prompt has it, or the model writes none
  TokenId close = 0;
  bool is_open = false;  // the prompt ends within reasoning
};

// The same form for what comes after the reasoning, in which everything is allowed: an answer may begin with the opening mark, and the form
// begins after the closing one.
[[nodiscard]] std::shared_ptr<const CompiledConstraint> after_reasoning(std::shared_ptr<const CompiledConstraint> form,
                                                                        ReasoningMarks marks);

}  // namespace slora
