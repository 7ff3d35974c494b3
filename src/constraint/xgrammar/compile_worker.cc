#include "constraint/xgrammar/compile_worker.h"

#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <vector>

#include "base/program.h"
#include "constraint/xgrammar/compile_channel.h"

namespace slora {
namespace {

constexpr const char* kProgramName = "slora-forms";
constexpr std::chrono::seconds kStartPatience{20};

tl::unexpected<Error> unavailable(std::string_view what, std::string_view why) {
  return error("constraint_unavailable", "Structured output is not available: {}: {}", what, why);
}

}  // namespace

Result<std::filesystem::path> find_forms_program() {
  std::error_code ignored;
  std::vector<std::filesystem::path> folders = {std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path()};
  Dl_info library;
  if (dladdr(reinterpret_cast<const void*>(&find_forms_program), &library) != 0 && library.dli_fname != nullptr)
    folders.push_back(std::filesystem::absolute(library.dli_fname, ignored).parent_path());
  std::vector<std::filesystem::path> candidates;
  for (const std::filesystem::path& folder : folders) {
    candidates.push_back(folder / kProgramName);
    candidates.push_back(folder / "bin" / kProgramName);
    candidates.push_back(folder.parent_path() / "libexec" / "slora" / kProgramName);
  }
  candidates.emplace_back(std::filesystem::path(SLORA_BUILT_PROGRAMS) / kProgramName);
  for (const std::filesystem::path& candidate : candidates) {
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return unavailable(kProgramName, "expected this program next to slora; it is built with it");
}

Result<std::unique_ptr<CompileWorker>> CompileWorker::start(const std::filesystem::path& program, std::string_view vocabulary) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return unavailable("a socket", std::strerror(errno));
  const Result<pid_t> process = start_program({.program = program.string(), .arguments = {}, .input = sockets[1]});
  close(sockets[1]);
  if (!process) {
    close(sockets[0]);
    return unavailable(program.filename().string(), process.error().message);
  }
  auto worker = std::make_unique<CompileWorker>(*process, sockets[0]);
  if (!send_message(worker->socket_, vocabulary, std::chrono::steady_clock::now() + kStartPatience))
    return unavailable(program.filename().string(), "it ended at once");
  return worker;
}

CompileWorker::~CompileWorker() {
  close(socket_);
  end_program(process_);
}

bool CompileWorker::is_running() const {
  siginfo_t changed{};
  return waitid(P_PID, static_cast<id_t>(process_), &changed, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) == 0 && changed.si_pid == 0;
}

Result<SerialisedForm> CompileWorker::compile(const ConstraintSpec& spec, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::optional<std::string> answer;
  if (send_message(socket_, message_of(spec), deadline)) answer = receive_message(socket_, deadline);
  if (answer) return compiled_of(*answer);
  is_usable_ = false;
  if (std::chrono::steady_clock::now() >= deadline)
    return error("constraint_queue_full", "The form could not be compiled in time; try again soon");
  return error("constraint_unavailable", "The process that compiles forms has ended; try again");
}

}  // namespace slora
