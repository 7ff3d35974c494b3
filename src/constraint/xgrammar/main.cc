// slora-forms: compiles forms for a server that started it, which talks to it over its standard input, a socket. Not for people.
//
// First the vocabulary comes, then one form after the other. Each is compiled in a child of this process, with a limit of time and memory,
// so that a form that takes too much costs nothing else, and the tokenizer's tables are made once.
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "constraint/xgrammar/compile_channel.h"
#include "constraint/xgrammar/compile_messages.h"
#include "constraint/xgrammar/form_library.h"
#include "constraint/xgrammar/form_trial.h"

namespace slora {
namespace {

constexpr int kSocket = STDIN_FILENO;
constexpr rlim_t kCpuSecondsMax = 4;
constexpr rlim_t kMemoryBytesMax = rlim_t{2} << 30;               // of addresses, the tables of the tokenizer included
constexpr std::size_t kFormTextBytesMax = std::size_t{32} << 20;  // the server needs several times as much while it reads it
constexpr int kLowPriority = 5;

// Where the library says what it ignores of a form. A file without a name.
class Warnings {
 public:
  Warnings() : file_(memfd_create("warnings", MFD_CLOEXEC)) {
    if (file_ >= 0) dup2(file_, STDERR_FILENO);
  }

  // What was said that changes what a form means.
  [[nodiscard]] std::optional<std::string> said() const {
    std::string text(1 << 14, '\0');
    const ssize_t bytes = file_ < 0 ? 0 : pread(file_, text.data(), text.size(), 0);
    text.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      const std::string line = text.substr(begin, end - begin);
      begin = end + 1;
      if (!line.empty() && line.find("The character itself will be matched") == std::string::npos) return line;
    }
    return std::nullopt;
  }

 private:
  const int file_;
};

// How far a child is.
enum class Stage : std::uint8_t { compiling, trying, sending };

// Of this process, which has one thread.
std::size_t allocated_bytes() {
  const struct mallinfo2 now = mallinfo2();
  return now.uordblks + now.hblkhd;
}

Result<SerialisedForm> compile(const ConstraintSpec& spec, const xgrammar::TokenizerInfo& tokenizer, volatile Stage& stage) {
  try {
    const Warnings warnings;
    const std::size_t bytes_before = allocated_bytes();
    const Result<xgrammar::CompiledGrammar> compiled = compile_form(spec, tokenizer);
    if (!compiled) return tl::unexpected<Error>(compiled.error());
    if (const std::optional<std::string> said = warnings.said()) return error("unsupported_constraint", "{}", text_of_message(*said));
    // The library's own count leaves out much of what it allocates.
    const std::size_t bytes_after = std::max(allocated_bytes(), bytes_before);
    const std::size_t bytes = std::max(bytes_after - bytes_before, compiled->MemorySizeBytes());
    stage = Stage::trying;
    if (const Status tried = try_form(*compiled); !tried) return tl::unexpected<Error>(tried.error());
    stage = Stage::compiling;
    SerialisedForm form{compiled->SerializeJSON(), bytes};
    if (form.text.size() <= kFormTextBytesMax) return form;
    return error("constraint_too_costly", "The compiled form takes {} bytes; expected at most {}", form.text.size(), kFormTextBytesMax);
  } catch (const std::exception& thrown) {
    return error("constraint_too_costly", "Compiling the form takes too much memory ({})", thrown.what());
  }
}

// In a child, which says in `stage` how far it is.
[[noreturn]] void compile_and_send(const ConstraintSpec& spec, const xgrammar::TokenizerInfo& tokenizer, volatile Stage& stage) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit cpu{kCpuSecondsMax, kCpuSecondsMax}, memory{kMemoryBytesMax, kMemoryBytesMax}, no_core{0, 0};
  setrlimit(RLIMIT_CPU, &cpu);
  setrlimit(RLIMIT_AS, &memory);
  setrlimit(RLIMIT_CORE, &no_core);
  const std::string answer = message_of(compile(spec, tokenizer, stage));
  stage = Stage::sending;
  _exit(send_message(kSocket, answer) ? 0 : 1);
}

class FormCompiler {
 public:
  explicit FormCompiler(ConstraintVocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}

  // False when the server is gone, or may have received half an answer.
  bool answer(const ConstraintSpec& spec) {
    const xgrammar::TokenizerInfo& tokenizer = tokenizer_for(spec);
    *stage_ = Stage::compiling;
    const pid_t child = fork();
    if (child == 0) compile_and_send(spec, tokenizer, *stage_);
    if (child < 0)
      return send_message(kSocket, message_of(Result<SerialisedForm>(error("out_of_memory", "No process to compile the form in"))));
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (*stage_ == Stage::sending) return false;
    const bool is_slow = WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL);
    const Result<SerialisedForm> failed =
        error("constraint_too_costly", "{} the form takes {}{}", *stage_ == Stage::trying ? "Following" : "Compiling",
              is_slow ? "more than 4 seconds" : "too much memory or stack",
              *stage_ == Stage::trying ? "; write it with fewer ambiguous repetitions" : "");
    return send_message(kSocket, message_of(failed));
  }

 private:
  const xgrammar::TokenizerInfo& tokenizer_for(const ConstraintSpec& spec) {
    const bool all = spec.kind == ConstraintKind::structural_tag;
    std::optional<xgrammar::TokenizerInfo>& tokenizer = all ? with_marks_ : without_marks_;
    if (!tokenizer) tokenizer = tokenizer_info_of(vocabulary_, all ? KnownTexts::all : KnownTexts::without_marks);
    return *tokenizer;
  }

  const ConstraintVocabulary vocabulary_;
  std::optional<xgrammar::TokenizerInfo> with_marks_, without_marks_;
  // Shared with the child.
  Stage* const stage_ = static_cast<Stage*>(mmap(nullptr, sizeof(Stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
};

int serve_forms() {
  setpriority(PRIO_PROCESS, 0, kLowPriority);
  const std::optional<std::string> first = receive_message(kSocket);
  if (!first) return 1;
  Result<ConstraintVocabulary> vocabulary = vocabulary_of(*first);
  if (!vocabulary) return 1;
  FormCompiler compiler(std::move(*vocabulary));
  while (const std::optional<std::string> next = receive_message(kSocket)) {
    const Result<ConstraintSpec> spec = spec_of(*next);
    if (!spec || !compiler.answer(*spec)) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace slora

int main(int argument_count, char** arguments) {
  if (argument_count != 1 || isatty(STDIN_FILENO) != 0) {
    std::fprintf(stderr, "%s compiles forms for a server of slora, which starts it when it needs it.\n", arguments[0]);
    return 2;
  }
  try {
    return slora::serve_forms();
  } catch (const std::exception&) {
    return 1;
  }
}
