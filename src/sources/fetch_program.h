#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace slora {

struct FetchLimits {
  std::chrono::seconds time_max{300};
  std::uint64_t bytes_max = std::uint64_t{1} << 30;  // of the folder that it fills
};

// One call of an operator's program: `program` NAME REVISION FOLDER.
struct FetchCall {
  std::string program;  // its file
  std::string name, revision;
  std::string folder;                    // absolute; exists, empty
  std::vector<std::string> environment;  // NAME=VALUE
};

// Exit code by which a program says that there is no such adapter; any other but 0 is a failure that may pass.
inline constexpr int kNoSuchAdapterExitCode = 3;

// Runs the program to its end: with these arguments, without a shell, with no open file but its output, in a group of processes of its own
// that is killed at the end, whatever is left of it. Any thread; waits. Its output is in the error's message, for the log.
// "not_found" for kNoSuchAdapterExitCode; "E_TOO_LARGE"; "E_FETCH" when it fails, takes too long, or `is_stopped`, which is asked several
// times a second, says so.
[[nodiscard]] Status run_fetch_program(const FetchCall& call, const FetchLimits& limits, const std::function<bool()>& is_stopped);

// Bytes of the files in a folder and below; links count as what they are, and are not followed. More than the limit, or of more than some
// thousand files: anything above the limit.
[[nodiscard]] std::uint64_t folder_bytes(const std::string& folder, std::uint64_t limit);

}  // namespace slora
