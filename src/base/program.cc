#include "base/program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace slora {
namespace {

// What posix_spawn() needs.
class SpawnSetting {
 public:
  explicit SpawnSetting(const ProgramStart& start) {
    posix_spawn_file_actions_init(&actions_);
    give(start.input, STDIN_FILENO, O_RDONLY);
    give(start.output, STDOUT_FILENO, O_WRONLY);
    give(start.errors, STDERR_FILENO, O_WRONLY);
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    if (!start.folder.empty()) posix_spawn_file_actions_addchdir_np(&actions_, start.folder.c_str());
    posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  SpawnSetting(const SpawnSetting&) = delete;
  SpawnSetting& operator=(const SpawnSetting&) = delete;
  ~SpawnSetting() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  [[nodiscard]] const posix_spawn_file_actions_t* actions() const { return &actions_; }
  [[nodiscard]] const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  void give(int descriptor, int as, int mode) {
    if (descriptor < 0) {
      posix_spawn_file_actions_addopen(&actions_, as, "/dev/null", mode, 0);
    } else {
      posix_spawn_file_actions_adddup2(&actions_, descriptor, as);
    }
  }

  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<pid_t> start_program(const ProgramStart& start) {
  std::vector<std::string> arguments = {start.program}, environment = start.environment;
  arguments.insert(arguments.end(), start.arguments.begin(), start.arguments.end());
  const std::vector<char*> argument_list = pointers_to(arguments), environment_list = pointers_to(environment);
  const SpawnSetting setting(start);
  pid_t process = 0;
  const int failure =
      posix_spawn(&process, start.program.c_str(), setting.actions(), setting.attributes(), argument_list.data(), environment_list.data());
  if (failure != 0) return error("not_started", "{}", std::strerror(failure));
  return process;
}

// The group first: as long as its leader was not waited for, no other process or group can have got this number.
void end_program(pid_t process) {
  ::kill(-process, SIGKILL);
  while (::waitpid(process, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace slora
