#include "cli/bench_program.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "cli/runtime_arguments.h"

namespace slora {

std::string missing_bench_text(const std::filesystem::path& program) {
  const std::filesystem::path build = program.parent_path().parent_path();
  std::error_code ignored;
  std::string text = fmt::format("`slora bench` needs the program {}, which does not exist", program.string());
  if (std::filesystem::exists(build / "CMakeCache.txt", ignored))
    text += fmt::format("; build it with: cmake --build {} --target slora-bench", build.string());
  return text;
}

int run_bench_program(char* const* words) {
  std::error_code failure;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failure);
  if (failure) return report({"E_BENCH", fmt::format("/proc/self/exe can't be read: {}; run slora-bench itself", failure.message()), {}});
  const std::filesystem::path program = self.parent_path() / "slora-bench";
  execv(program.c_str(), words);
  if (errno == ENOENT) return report({"E_BENCH", missing_bench_text(program), {}});
  return report({"E_BENCH", fmt::format("{} can't be run: {}", program.string(), std::strerror(errno)), {}});
}

}  // namespace slora
