#include "api/model_name.h"

#include <string_view>
#include <system_error>

#include "formats/gguf_names.h"

namespace slora {

std::string default_model_name(const std::filesystem::path& folder) {
  std::error_code failure;
  std::filesystem::path path = std::filesystem::absolute(folder, failure).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  // A hub cache: models--ORG--NAME/snapshots/REVISION.
  const std::filesystem::path repository = path.parent_path().parent_path();
  std::string cached = repository.filename().string();
  constexpr std::string_view prefix = "models--";
  if (path.parent_path().filename() == "snapshots" && cached.starts_with(prefix)) {
    cached.erase(0, prefix.size());
    const std::size_t separator = cached.find("--");
    if (separator != std::string::npos) cached.replace(separator, 2, "/");
    return cached;
  }
  const std::string name = (is_gguf_path(path.string()) ? path.stem() : path.filename()).string();
  return name.empty() ? "model" : name;
}

}  // namespace slora
