#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "train/run_history.h"

namespace slora {

inline constexpr std::string_view kTrainerState = "trainer_state.json";
inline constexpr std::string_view kLossChart = "loss.svg";

// Records a run as it goes: a log of JSON lines that is written step by step, and files about the whole. Owned by the run, one thread.
class RunRecorder {
 public:
  // `log`: file to append to; empty: none. `clock` outlives it. E_WRITE.
  [[nodiscard]] static Result<RunRecorder> create(const Clock& clock, const std::string& log);
  RunRecorder(RunRecorder&& other) noexcept;
  RunRecorder& operator=(RunRecorder&&) = delete;
  ~RunRecorder();

  // Returns the line for a terminal. A step took the time since the last call of either, or since the recorder was made. E_WRITE, which
  // names the log.
  [[nodiscard]] Result<std::string> add(const StepReport& report);
  [[nodiscard]] Result<std::string> add(const EvaluationReport& report);

  // trainer_state.json of a folder, for programs that read those of transformers.
  [[nodiscard]] Status write_state(const std::string& folder) const;
  // loss.svg of a folder.
  [[nodiscard]] Status write_chart(const std::string& folder) const;
  // Goes on with what write_state() put into a folder, up to `step`; nothing where there is no such file. Requires: nothing was added.
  [[nodiscard]] Status restore(const std::string& folder, std::int64_t step);

 private:
  RunRecorder(const Clock& clock, std::string log_path, int log) : clock_(clock), log_path_(std::move(log_path)), log_(log) {}
  [[nodiscard]] Status append(std::string line);

  const Clock& clock_;
  const std::string log_path_;
  int log_;  // descriptor; -1: none
  Timestamp last_ = clock_.now();
  RunHistory history_;
};

}  // namespace slora
