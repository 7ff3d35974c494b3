#pragma once
#include <xgrammar/xgrammar.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "constraint/constraint.h"
#include "constraint/vocabulary.h"
#include "constraint/xgrammar/compile_worker.h"
#include "constraint/xgrammar/form_cache.h"
#include "constraint/xgrammar/grammar_constraint.h"

namespace slora {

struct XgrammarOptions {
  std::filesystem::path program{};             // slora-forms; empty: find_forms_program()
  std::size_t workers_max = 2;                 // processes that compile at a time
  std::chrono::milliseconds patience{30'000};  // for one form, the wait for a process included
  FormCache::Limits cache{};
  MatchLimits match{};
};

// Compiles forms by xgrammar, in processes of their own that are started when they are first needed. Any thread.
class XgrammarCompiler final : public ConstraintCompiler {
 public:
  XgrammarCompiler(ConstraintVocabulary vocabulary, XgrammarOptions options);

  // Also error "constraint_unavailable": the program that compiles can't be run.
  [[nodiscard]] Result<std::shared_ptr<const CompiledConstraint>> compile(const ConstraintSpec& spec, std::span<const TokenId> end_tokens,
                                                                          ClientId client) override;
  [[nodiscard]] std::shared_ptr<const CompiledConstraint> find(const ConstraintSpec& spec, std::span<const TokenId> end_tokens) override;
  // The process ids of those that wait for forms; for tests.
  [[nodiscard]] std::vector<pid_t> idle_workers();

 private:
  [[nodiscard]] Result<FormCache::SharedForm> compile_elsewhere(const ConstraintSpec& checked, ClientId client);
  [[nodiscard]] Result<SerialisedForm> compile_by_worker(const ConstraintSpec& checked);
  [[nodiscard]] Result<xgrammar::CompiledGrammar> read_form(const std::string& text, const xgrammar::TokenizerInfo& tokenizer);
  // An idle process or a new one; waits for one until the deadline.
  [[nodiscard]] Result<std::unique_ptr<CompileWorker>> take_worker(std::chrono::steady_clock::time_point deadline);
  void give_back(std::unique_ptr<CompileWorker> worker);
  [[nodiscard]] const xgrammar::TokenizerInfo& tokenizer_for(const ConstraintSpec& checked);

  const ConstraintVocabulary vocabulary_;
  const XgrammarOptions options_;
  FormCache cache_;
  std::mutex reading_mutex_;  // held while a form is read, which takes several times its own memory
  std::mutex tokenizers_mutex_;
  std::optional<xgrammar::TokenizerInfo> with_marks_, without_marks_;  // made when they are first needed, const from then on
  std::mutex workers_mutex_;
  std::condition_variable worker_is_free_;
  std::vector<std::unique_ptr<CompileWorker>> idle_;
  std::size_t worker_count_ = 0;  // idle ones included
};

}  // namespace slora
