#pragma once
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "constraint/constraint.h"
#include "constraint/xgrammar/compile_messages.h"

namespace slora {

// Where the program slora-forms is: next to the running program or library, in bin or ../libexec/slora from there, or where it was built.
[[nodiscard]] Result<std::filesystem::path> find_forms_program();

// A process that compiles forms for one vocabulary: started once, then given one form after the other. It ends with this object, or with
// the server. One thread at a time.
class CompileWorker {
 public:
  // `vocabulary`: message_of() it. Errors "constraint_unavailable".
  [[nodiscard]] static Result<std::unique_ptr<CompileWorker>> start(const std::filesystem::path& program, std::string_view vocabulary);
  CompileWorker(pid_t process, int socket) : process_(process), socket_(socket) {}
  ~CompileWorker();
  CompileWorker(const CompileWorker&) = delete;
  CompileWorker& operator=(const CompileWorker&) = delete;

  // The form as the library serialises it. Blocks until then, at most for `patience`. Errors: the library's; "constraint_too_costly";
  // "constraint_queue_full", it took longer; "constraint_unavailable", the process has ended, which no form makes it do.
  [[nodiscard]] Result<SerialisedForm> compile(const ConstraintSpec& spec, std::chrono::milliseconds patience);
  // Whether it answered until now: if not, another must be started.
  [[nodiscard]] bool is_usable() const { return is_usable_; }
  // Whether the process has neither ended nor been stopped.
  [[nodiscard]] bool is_running() const;
  [[nodiscard]] pid_t process() const { return process_; }

 private:
  const pid_t process_;
  const int socket_;
  bool is_usable_ = true;
};

}  // namespace slora
