#include "constraint/xgrammar/xgrammar_compiler.h"

#include <malloc.h>

#include <utility>
#include <variant>

#include "base/caught.h"
#include "constraint/checks/check_constraint.h"
#include "constraint/xgrammar/compile_messages.h"
#include "constraint/xgrammar/form_library.h"

namespace slora {
namespace {

constexpr std::size_t kTrimmedBytesMin = std::size_t{1} << 20;

}  // namespace

XgrammarCompiler::XgrammarCompiler(ConstraintVocabulary vocabulary, XgrammarOptions options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)), cache_(options_.cache) {}

Result<std::shared_ptr<const CompiledConstraint>> XgrammarCompiler::compile(const ConstraintSpec& spec, std::span<const TokenId> end_tokens,
                                                                            ClientId client) {
  return run_caught([&]() -> Result<std::shared_ptr<const CompiledConstraint>> {
    Result<FormCache::SharedForm> form = cache_.find_or_compile(message_of(spec), client, [&]() -> Result<FormCache::SharedForm> {
      const Result<ConstraintSpec> checked = check_constraint(spec);
      if (!checked) return tl::unexpected<Error>(checked.error());
      return compile_elsewhere(*checked, client);
    });
    if (!form) return forward_error(form);
    return std::make_shared<const CompiledGrammarConstraint>(std::move(*form), end_tokens, options_.match);
  });
}

std::shared_ptr<const CompiledConstraint> XgrammarCompiler::find(const ConstraintSpec& spec, std::span<const TokenId> end_tokens) {
  FormCache::SharedForm form = cache_.find(message_of(spec));
  if (form == nullptr) return nullptr;
  return std::make_shared<const CompiledGrammarConstraint>(std::move(form), end_tokens, options_.match);
}

Result<FormCache::SharedForm> XgrammarCompiler::compile_elsewhere(const ConstraintSpec& checked, ClientId client) {
  const Result<SerialisedForm> serialised = compile_by_worker(checked);
  if (!serialised) return tl::unexpected<Error>(serialised.error());
  Result<FormPlace> place = cache_.take_place(client, serialised->bytes + 2 * checked.text.size());
  if (!place) return forward_error(place);
  Result<xgrammar::CompiledGrammar> read = read_form(serialised->text, tokenizer_for(checked));
  if (!read) return forward_error(read);
  return std::make_shared<const CompiledForm>(CompiledForm{std::move(*place), std::move(*read)});
}

Result<xgrammar::CompiledGrammar> XgrammarCompiler::read_form(const std::string& text, const xgrammar::TokenizerInfo& tokenizer) {
  const std::lock_guard lock(reading_mutex_);
  Result<xgrammar::CompiledGrammar> form = run_caught([&]() -> Result<xgrammar::CompiledGrammar> {
    std::variant<xgrammar::CompiledGrammar, xgrammar::SerializationError> read =
        xgrammar::CompiledGrammar::DeserializeJSON(text, tokenizer);
    if (auto* grammar = std::get_if<xgrammar::CompiledGrammar>(&read)) return std::move(*grammar);
    const auto what = [](const auto& failure) { return std::string(failure.what()); };
    return error("internal_error", "A compiled form can't be read: {}", std::visit(what, std::get<xgrammar::SerializationError>(read)));
  });
  // What reading it took lies in many small pieces, which the allocator would keep.
  if (text.size() > kTrimmedBytesMin) (void)malloc_trim(0);
  return form;
}

Result<SerialisedForm> XgrammarCompiler::compile_by_worker(const ConstraintSpec& checked) {
  const auto deadline = std::chrono::steady_clock::now() + options_.patience;
  for (bool is_second = false;; is_second = true) {
    Result<std::unique_ptr<CompileWorker>> worker = take_worker(deadline);
    if (!worker) return forward_error(worker);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    Result<SerialisedForm> compiled = (*worker)->compile(checked, left);
    give_back(std::move(*worker));
    // A process that somebody ended is replaced, and none of the client's business.
    const bool is_lost = !compiled && compiled.error().code == "constraint_unavailable";
    if (!is_lost || is_second) return compiled;
  }
}

Result<std::unique_ptr<CompileWorker>> XgrammarCompiler::take_worker(std::chrono::steady_clock::time_point deadline) {
  {
    std::unique_lock lock(workers_mutex_);
    const auto is_free = [&] { return !idle_.empty() || worker_count_ < options_.workers_max; };
    if (!worker_is_free_.wait_until(lock, deadline, is_free))
      return error("constraint_queue_full", "Too many forms are being compiled; try again soon");
    if (!idle_.empty()) {
      std::unique_ptr<CompileWorker> worker = std::move(idle_.back());
      idle_.pop_back();
      if (worker->is_running()) return worker;
      --worker_count_;
    }
    ++worker_count_;
  }
  Result<std::unique_ptr<CompileWorker>> started = run_caught([&]() -> Result<std::unique_ptr<CompileWorker>> {
    Result<std::filesystem::path> program = options_.program.empty() ? find_forms_program() : options_.program;
    if (!program) return forward_error(program);
    return CompileWorker::start(*program, message_of(vocabulary_));
  });
  if (!started) give_back(nullptr);
  return started;
}

void XgrammarCompiler::give_back(std::unique_ptr<CompileWorker> worker) {
  if (worker != nullptr && !worker->is_usable()) worker.reset();
  {
    const std::lock_guard lock(workers_mutex_);
    if (worker == nullptr) {
      --worker_count_;
    } else {
      idle_.push_back(std::move(worker));
    }
  }
  worker_is_free_.notify_one();
}

std::vector<pid_t> XgrammarCompiler::idle_workers() {
  const std::lock_guard lock(workers_mutex_);
  std::vector<pid_t> processes;
  for (const std::unique_ptr<CompileWorker>& worker : idle_) processes.push_back(worker->process());
  return processes;
}

const xgrammar::TokenizerInfo& XgrammarCompiler::tokenizer_for(const ConstraintSpec& checked) {
  const bool all = checked.kind == ConstraintKind::structural_tag;
  const std::lock_guard lock(tokenizers_mutex_);
  std::optional<xgrammar::TokenizerInfo>& tokenizer = all ? with_marks_ : without_marks_;
  if (!tokenizer) tokenizer = tokenizer_info_of(vocabulary_, all ? KnownTexts::all : KnownTexts::without_marks);
  return *tokenizer;
}

}  // namespace slora
