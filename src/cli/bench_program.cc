#include "cli/bench_program.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/runtime_arguments.h"

namespace slora {

int run_bench_program(char* const* words) {
  std::error_code failed;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
  const std::filesystem::path program = folder / "slora-bench";
  execv(program.c_str(), words);
  if (errno != ENOENT) return report({"E_BENCH", fmt::format("{} can't be run: {}", program.string(), std::strerror(errno)), {}});
  return report({"E_BENCH",
                 fmt::format("`slora bench` needs the program {}, which is not built yet: cmake --build {} --target slora-bench",
                             program.string(), folder.parent_path().string()),
                 {}});
}

}  // namespace slora
