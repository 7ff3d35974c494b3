#include "train/run_recorder.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "formats/replaced_file.h"

namespace slora {
namespace {

constexpr JsonLimits kStateLimits = {.bytes_max = std::size_t{1} << 30, .values_max = std::size_t{1} << 27};

// The most that the process has had so far.
std::uint64_t peak_memory_bytes() {
  struct rusage usage {};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;  // Linux counts KiB
}

std::string path_in(const std::string& folder, std::string_view name) { return (std::filesystem::path(folder) / name).string(); }

}  // namespace

Result<RunRecorder> RunRecorder::create(const Clock& clock, const std::string& log) {
  if (log.empty()) return RunRecorder(clock, log, -1);
  const int descriptor = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) return error("E_WRITE", "--log: {}: {}", log, std::strerror(errno));
  return RunRecorder(clock, log, descriptor);
}

RunRecorder::RunRecorder(RunRecorder&& other) noexcept
    : clock_(other.clock_),
      log_path_(other.log_path_),
      log_(std::exchange(other.log_, -1)),
      last_(other.last_),
      history_(std::move(other.history_)) {}

RunRecorder::~RunRecorder() {
  if (log_ >= 0) ::close(log_);
}

Result<std::string> RunRecorder::add(const StepReport& report) {
  const Timestamp now = clock_.now();
  const StepRecord& step = history_.add(report, seconds(now - std::exchange(last_, now)), peak_memory_bytes());
  if (Status appended = append(step_json(step)); !appended) return forward_error(appended);
  return step_line(step);
}

Result<std::string> RunRecorder::add(const EvaluationReport& report) {
  last_ = clock_.now();
  history_.add(report);
  if (Status appended = append(evaluation_json(report)); !appended) return forward_error(appended);
  return evaluation_line(report);
}

// One write for a line, so that a reader never sees a part of one from two runs.
Status RunRecorder::append(std::string line) {
  if (log_ < 0) return {};
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = ::write(log_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return error("E_WRITE", "--log: {}: {}", log_path_, std::strerror(errno));
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Status RunRecorder::write_state(const std::string& folder) const {
  return replace_text_file(path_in(folder, kTrainerState), history_.trainer_state());
}

Status RunRecorder::write_chart(const std::string& folder) const {
  return replace_text_file(path_in(folder, kLossChart), history_.loss_chart());
}

Status RunRecorder::restore(const std::string& folder, std::int64_t step) {
  const Result<Json> state = read_json_file(path_in(folder, kTrainerState), kStateLimits);
  if (!state && state.error().code == "E_NO_FILE") return {};
  if (!state) return tl::unexpected(state.error());
  if (Status restored = history_.restore(*state, step); !restored) {
    return error(restored.error().code, "{}: {}", kTrainerState, restored.error().message);
  }
  return {};
}

}  // namespace slora
