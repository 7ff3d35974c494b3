#pragma once
#include <memory>

#include "api/request_preparer.h"
#include "base/result.h"
#include "constraint/constraint.h"
#include "metrics/metrics.h"

namespace slora {

class TextModel;

// Compiles forms for the tokenizer of the base, whose tokens all its adapters have, with the same ids: tokens that only an adapter has are
// never part of a form, though they may end it. Null where the program was built without a library for forms.
[[nodiscard]] std::unique_ptr<ConstraintCompiler> make_constraint_compiler(const TextModel& base, std::int32_t vocabulary_size);
// What compiles, with its version; empty: nothing does.
[[nodiscard]] std::string_view constraint_library();

// The last step before a request is submitted: gives it the compiled form that its answer must have. Any thread.
class ConstraintStep {
 public:
  // Both outlive it. `compiler` may be null: forms are refused.
  ConstraintStep(ConstraintCompiler* compiler, MetricsRegistry& registry);

  // Whether there is nothing to compile: the request has no form, or has received it from those compiled before.
  [[nodiscard]] bool is_done(PreparedRequest& request) const;
  // Compiles its form, if it has one: blocks, for a bounded time. Errors name the field.
  [[nodiscard]] Status compile(PreparedRequest& request, ClientId client) const;

 private:
  void take(PreparedRequest& request, std::shared_ptr<const CompiledConstraint> compiled) const;

  ConstraintCompiler* const compiler_;
  MetricsRegistry& registry_;
  Histogram& compile_seconds_;
};

}  // namespace slora
