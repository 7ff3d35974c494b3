#include "api/constraint_step.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "api/api_error.h"
#include "api/reasoning_gate.h"
#include "api/text_model.h"
#include "constraint/vocabulary.h"

#ifdef SLORA_XGRAMMAR_VERSION
#include "constraint/xgrammar/xgrammar_compiler.h"
#endif

namespace slora {
namespace {

constexpr std::array kCompileSeconds = {0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0};

const char* name_of(ConstraintKind kind) {
  switch (kind) {
    case ConstraintKind::json_schema:
      return "json_schema";
    case ConstraintKind::regex:
      return "regex";
    case ConstraintKind::choice:
      return "choice";
    case ConstraintKind::grammar:
      return "grammar";
    case ConstraintKind::structural_tag:
      break;
  }
  return "structural_tag";
}

Counter& request_counter(MetricsRegistry& registry, ConstraintKind kind) {
  return registry.counter("slora_constrained_requests_total", "Requests whose answer must have a form, by what it is written in.",
                          {{"kind", name_of(kind)}});
}

}  // namespace

#ifdef SLORA_XGRAMMAR_VERSION
std::string_view constraint_library() { return "xgrammar " SLORA_XGRAMMAR_VERSION; }

std::unique_ptr<ConstraintCompiler> make_constraint_compiler(const TextModel& base, std::int32_t vocabulary_size) {
  const Tokenizer& tokenizer = base.tokenizer();
  ConstraintVocabulary vocabulary;
  vocabulary.texts.resize(std::min(tokenizer.vocabulary_size(), static_cast<std::size_t>(vocabulary_size)));
  for (std::size_t i = 0; i < vocabulary.texts.size(); ++i) {
    const auto token = static_cast<TokenId>(i);
    const bool is_special = tokenizer.is_special(token);
    vocabulary.texts[i] = is_special ? std::string(tokenizer.token_text(token)) : tokenizer.token_bytes(token);
    if (is_special) vocabulary.marks.push_back(token);
  }
  return std::make_unique<XgrammarCompiler>(std::move(vocabulary), XgrammarOptions{});
}
#else
std::string_view constraint_library() { return {}; }

std::unique_ptr<ConstraintCompiler> make_constraint_compiler(const TextModel&, std::int32_t) { return nullptr; }
#endif

ConstraintStep::ConstraintStep(ConstraintCompiler* compiler, MetricsRegistry& registry)
    : compiler_(compiler),
      registry_(registry),
      compile_seconds_(
          registry.histogram("slora_constraint_compile_seconds", "How long forms take to compile that were not known.", kCompileSeconds)) {
  for (const ConstraintKind kind : {ConstraintKind::json_schema, ConstraintKind::regex, ConstraintKind::choice, ConstraintKind::grammar,
                                    ConstraintKind::structural_tag})
    request_counter(registry, kind);  // shown as 0 before the first
}

bool ConstraintStep::is_done(PreparedRequest& request) const {
  if (!request.spec.constraint) return true;
  if (compiler_ == nullptr) return false;
  std::shared_ptr<const CompiledConstraint> known = compiler_->find(*request.spec.constraint, request.text->sampling().end_tokens);
  if (known == nullptr) return false;
  take(request, std::move(known));
  return true;
}

Status ConstraintStep::compile(PreparedRequest& request, ClientId client) const {
  if (is_done(request)) return {};
  const std::string& field = request.spec.constraint_field;
  if (compiler_ == nullptr) {
    return field_error(field,
                       "{}: answers with a form are not served, because this server was built without xgrammar; run tools/get_xgrammar and "
                       "build again (docs/structured_output.md)",
                       field);
  }
  const auto begin = std::chrono::steady_clock::now();
  Result<std::shared_ptr<const CompiledConstraint>> compiled =
      compiler_->compile(*request.spec.constraint, request.text->sampling().end_tokens, client);
  if (!compiled) {
    Error failed = std::move(compiled).error();
    failed.message = fmt::format("{}: {}", field, failed.message);
    failed.param = field;
    return tl::unexpected<Error>(std::move(failed));
  }
  compile_seconds_.observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  take(request, std::move(*compiled));
  return {};
}

void ConstraintStep::take(PreparedRequest& request, std::shared_ptr<const CompiledConstraint> compiled) const {
  request_counter(registry_, request.spec.constraint->kind).add();
  request.constraint = request.reasoning ? after_reasoning(std::move(compiled), *request.reasoning) : std::move(compiled);
  request.spec.constraint.reset();  // its text may be long, and nobody needs it any more
}

}  // namespace slora
