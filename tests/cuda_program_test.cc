// The built program with `--backend cuda`, on a machine that has a CUDA device or not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include "base/testing/source_path.h"

namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

// A copy of the program in a folder of its own, with the module or without, as they are installed.
class InstalledProgram {
 public:
  explicit InstalledProgram(const std::string& module) : folder_(fs::temp_directory_path() / ("slora_cuda_" + std::to_string(getpid()))) {
    fs::create_directories(folder_ / "bin");
    fs::copy_file(SLORA_PROGRAM, program(), fs::copy_options::overwrite_existing);
    if (module.empty()) return;
    fs::create_directories(this->module().parent_path());
    fs::copy_file(module, this->module(), fs::copy_options::overwrite_existing);
  }
  ~InstalledProgram() { fs::remove_all(folder_); }
  InstalledProgram(const InstalledProgram&) = delete;
  InstalledProgram& operator=(const InstalledProgram&) = delete;

  [[nodiscard]] fs::path program() const { return folder_ / "bin" / "slora"; }
  [[nodiscard]] fs::path module() const { return folder_ / "lib" / "slora" / "slora_cuda.so"; }

  // Exit code and output of one generated token.
  [[nodiscard]] std::pair<int, std::string> generate(const std::string& options) const {
    const std::string command = program().string() + " generate --model " + slora::source_path("demo/model") +
                                " --pool-memory 64MiB --max-tokens 1 --prompt a " + options + " 2>&1";
    std::FILE* const pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) return {-1, "popen failed"};
    std::string output;
    std::array<char, 4096> piece{};
    while (const std::size_t bytes = std::fread(piece.data(), 1, piece.size(), pipe)) output.append(piece.data(), bytes);
    const int status = pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
  }

 private:
  const fs::path folder_;
};

TEST(CudaProgram, WithoutAModuleSaysWhereItLookedAndHowToBuildOne) {
  const InstalledProgram installed("");
  const auto [exit_code, output] = installed.generate("--backend cuda");
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(output,
              AllOf(HasSubstr("slora: --backend: cuda: there is no module " + installed.module().string()), HasSubstr("--preset cuda")));
  EXPECT_EQ(installed.generate("--backend auto").first, 0);
}

TEST(CudaProgram, NamesAllBackends) {
  const InstalledProgram installed("");
  const auto [exit_code, output] = installed.generate("--backend abacus");
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(output, HasSubstr("slora: --backend: expected auto, cpu, cuda or reference, found \"abacus\""));
}

#ifdef SLORA_OTHER_BUILD
TEST(CudaProgram, RefusesTheModuleOfAnotherBuild) {
  const InstalledProgram installed(SLORA_OTHER_BUILD);
  const auto [exit_code, output] = installed.generate("--backend cuda");
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(output, AllOf(HasSubstr(installed.module().string()), HasSubstr("found another build")));
  const auto [auto_code, auto_output] = installed.generate("");
  EXPECT_EQ(auto_code, 0);
  EXPECT_THAT(auto_output, AllOf(HasSubstr("auto is cpu here"), HasSubstr("found another build")));
}
#endif

#ifdef SLORA_CUDA_MODULE
// Where there is a device the module answers, and computes.
TEST(CudaProgram, LoadsItsModuleAndTellsWhyNoDeviceAnswers) {
  const InstalledProgram installed(SLORA_CUDA_MODULE);
  const auto [exit_code, output] = installed.generate("--backend cuda");
  const auto [auto_code, auto_output] = installed.generate("");
  EXPECT_EQ(auto_code, 0) << auto_output;
  if (exit_code == 0) return;
  EXPECT_EQ(exit_code, 1) << output;
  EXPECT_THAT(output, AnyOf(HasSubstr("slora: --backend: cuda: cudaGetDeviceCount: cudaError"), HasSubstr("compute capability")));
  EXPECT_THAT(auto_output, HasSubstr("auto is cpu here; cuda can't be used: "));
  const auto [int8_code, int8_output] = installed.generate("--backend cuda --weights int8");
  EXPECT_EQ(int8_code, 1);
  EXPECT_THAT(int8_output, HasSubstr("bf16 only"));
}
#endif

}  // namespace
