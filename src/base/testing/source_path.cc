#include "base/testing/source_path.h"

#include <filesystem>

namespace slora {
namespace {

namespace fs = std::filesystem;

// Programs packed for another machine (tools/gpu_check/pack) bring what they need of the sources: `source`, next to the program's folder.
fs::path find_sources() {
  std::error_code failed;
  const fs::path packed = fs::read_symlink("/proc/self/exe", failed).parent_path().parent_path() / "source";
  return !failed && fs::is_directory(packed, failed) ? packed : fs::path(SLORA_SOURCE_DIR);
}

}  // namespace

// The only place that knows where the sources lie, so that every other object is the same in every checkout and ccache finds it.
std::string source_path(std::string_view relative) {
  static const std::string sources = find_sources().string();
  return sources + "/" + std::string(relative);
}

}  // namespace slora
