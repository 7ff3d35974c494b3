#pragma once
#include <string>

namespace slora {

struct SimulateStudyArguments {
  std::string name;             // which of bench::studies()
  std::string device, setting;  // empty: all of the study
  int seeds = 0;                // 0: the study's
  std::string json, svg;        // files; empty: none
};

// "  NAME  what it is", a line for each study.
[[nodiscard]] std::string study_help();
// `command_line`: as it was typed, for the record. Returns the process's exit code: 130 when it was interrupted.
[[nodiscard]] int run_simulate_study(const SimulateStudyArguments& arguments, const std::string& command_line);

}  // namespace slora
