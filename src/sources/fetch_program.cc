#include "sources/fetch_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "base/program.h"

namespace slora {
namespace {

namespace fs = std::filesystem;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::size_t kOutputKeptBytes = 1024;  // the end of what it printed
constexpr std::size_t kFilesMax = 4096;
constexpr int kLookMilliseconds = 50;
constexpr std::chrono::milliseconds kSizeInterval(200);

// Ends of a pipe, closed by the destructor.
struct Pipe {
  std::array<int, 2> ends{-1, -1};

  Pipe() = default;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_write_end();
    if (ends[0] >= 0) ::close(ends[0]);
  }
  [[nodiscard]] bool open() { return ::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0; }
  void close_write_end() {
    if (ends[1] >= 0) ::close(std::exchange(ends[1], -1));
  }
};

// Takes what has come, and keeps its end.
void read_output(int from, std::string& output) {
  std::array<char, 4096> bytes;
  for (;;) {
    const ssize_t count = ::read(from, bytes.data(), bytes.size());
    if (count <= 0) return;
    output.append(bytes.data(), static_cast<std::size_t>(count));
    if (output.size() > kOutputKeptBytes) output.erase(0, output.size() - kOutputKeptBytes);
  }
}

// As one line of a log.
std::string shown_output(std::string output) {
  for (char& c : output) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  const std::size_t begin = output.find_first_not_of(' '), end = output.find_last_not_of(' ');
  return begin == std::string::npos ? "nothing" : output.substr(begin, end - begin + 1);
}

Status judge(const siginfo_t& end, const std::string& output) {
  const bool has_exited = end.si_code == CLD_EXITED;
  if (has_exited && end.si_status == 0) return {};
  if (has_exited && end.si_status == kNoSuchAdapterExitCode) {
    return error("not_found", "the program knows no such adapter; it printed: {}", shown_output(output));
  }
  return error("E_FETCH", "the program ended with {} {}; it printed: {}", has_exited ? "exit code" : "signal", end.si_status,
               shown_output(output));
}

// A running program, and everything that it starts: killed by the destructor.
class FetchProcess {
 public:
  explicit FetchProcess(pid_t process) : process_(process) {}
  FetchProcess(const FetchProcess&) = delete;
  FetchProcess& operator=(const FetchProcess&) = delete;
  ~FetchProcess() { end_program(process_); }

  void limit_file_bytes(std::uint64_t bytes) const {
    const rlimit size{bytes, bytes}, core{0, 0};
    (void)::prlimit(process_, RLIMIT_FSIZE, &size, nullptr);
    (void)::prlimit(process_, RLIMIT_CORE, &core, nullptr);
  }
  // How it ended, once it has.
  [[nodiscard]] std::optional<siginfo_t> look() const {
    siginfo_t end{};
    if (::waitid(P_PID, static_cast<id_t>(process_), &end, WEXITED | WNOHANG | WNOWAIT) != 0 || end.si_pid == 0) return std::nullopt;
    return end;
  }

 private:
  const pid_t process_;
};

tl::unexpected<Error> too_large(const FetchLimits& limits) {
  return error("E_TOO_LARGE", "the adapter's folder has more than {} bytes (--adapter-source-size) or {} files", limits.bytes_max,
               kFilesMax);
}

}  // namespace

Status run_fetch_program(const FetchCall& call, const FetchLimits& limits, const std::function<bool()>& is_stopped) {
  Pipe pipe;
  if (!pipe.open()) return error("E_FETCH", "no pipe can be made: {}", std::strerror(errno));
  const Result<pid_t> started = start_program({.program = call.program,
                                               .arguments = {call.name, call.revision, call.folder},
                                               .environment = call.environment,
                                               .folder = call.folder,
                                               .output = pipe.ends[1],
                                               .errors = pipe.ends[1]});
  if (!started) return error("E_FETCH", "{} can't be started: {}", call.program, started.error().message);
  FetchProcess process(*started);
  process.limit_file_bytes(limits.bytes_max + 1);  // so that a file that is too large shows
  pipe.close_write_end();

  const SteadyTime begin = std::chrono::steady_clock::now();
  SteadyTime next_size = begin + kSizeInterval;
  std::string output;
  for (;;) {
    pollfd readable{pipe.ends[0], POLLIN, 0};
    if (::poll(&readable, 1, kLookMilliseconds) > 0) {
      read_output(pipe.ends[0], output);
      // Closed, or it prints without end: look at the rest no more often than otherwise.
      ::poll(nullptr, 0, 1);
      if ((readable.revents & POLLIN) == 0) ::poll(nullptr, 0, kLookMilliseconds);
    }
    const std::optional<siginfo_t> end = process.look();
    const SteadyTime now = std::chrono::steady_clock::now();
    if (end || now >= next_size) {
      if (folder_bytes(call.folder, limits.bytes_max) > limits.bytes_max) return too_large(limits);
      next_size = now + kSizeInterval;
    }
    if (end) {
      read_output(pipe.ends[0], output);
      return judge(*end, output);
    }
    if (now - begin >= limits.time_max) {
      return error("E_FETCH", "the program did not end within {} s (--adapter-source-time); it printed: {}", limits.time_max.count(),
                   shown_output(output));
    }
    if (is_stopped()) return error("E_FETCH", "the server is shutting down");
  }
}

std::uint64_t folder_bytes(const std::string& folder, std::uint64_t limit) {
  std::uint64_t bytes = 0;
  std::size_t count = 0;
  std::error_code failure;  // files that vanish meanwhile
  for (fs::recursive_directory_iterator at(folder, failure), end; !failure && at != end; at.increment(failure)) {
    std::error_code gone;
    const bool is_file = at->symlink_status(gone).type() == fs::file_type::regular;
    const std::uint64_t size = is_file && !gone ? at->file_size(gone) : 0;
    if (!gone) bytes += size;
    if (++count > kFilesMax || bytes > limit) return limit + 1;
  }
  return bytes;
}

}  // namespace slora
