#include "adapters/adapter_look.h"

#include <fmt/format.h>

#include <utility>

namespace slora {
namespace {

constexpr int kAttemptsMax = 3;

}  // namespace

Result<FolderStamp> current_stamp(const FolderSource& folders, const FolderPath& path) {
  const Result<Folder> folder = folders.open(path);
  if (folder) return stamp_of(*folder);
  if (is_transient(folder.error())) return tl::unexpected(folder.error());
  return FolderStamp{};
}

Error adapter_unavailable(std::string_view name, const Error& why) {
  if (why.code == "E_CHANGED") return {why.code, fmt::format("adapter \"{}\": {}; try again", name, why.message), {}};
  return {"adapter_unavailable", fmt::format("adapter \"{}\" can't be read now: {}; try again later", name, why.message), {}};
}

Error adapter_refused(std::string_view name, const Error& why) {
  return {why.code, fmt::format("adapter \"{}\": {}", name, why.message), {}};
}

bool is_transient(const Error& why) { return why.code == "E_READ" || why.code == "E_NO_FOLDER" || why.code == "E_CHANGED"; }

AdapterLook look_at(const FolderSource& folders, const FolderPath& path, const std::optional<FolderStamp>& known, const AdapterBase& base) {
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    Result<Folder> folder = folders.open(path);
    const Result<FolderStamp> stamp = folder ? stamp_of(*folder) : current_stamp(folders, path);
    if (!stamp) return stamp.error();
    if (known && *stamp == *known) return UnchangedFolder();
    Gate gate;
    const Result<PreparedAdapter> adapter = folder ? prepare_adapter(std::move(*folder), base, gate) : tl::unexpected(folder.error());
    if (!adapter && is_transient(adapter.error())) return adapter.error();
    const Result<FolderStamp> now = current_stamp(folders, path);
    if (!now) return now.error();
    if (*now != *stamp) continue;  // someone is writing it right now

    ChangedFolder changed{*stamp, ImageSize(), {}, 0, {}, {}, false};
    if (adapter) {
      changed.size = adapter->size;
      changed.base_model_name = adapter->folder.config.base_model_name;
      changed.rank = adapter->folder.config.r;
      changed.traits = adapter->traits();
      changed.warnings = adapter->warnings;
    } else {
      changed.size = tl::unexpected(adapter.error());
      const bool has_no_weights = stamp->weights == FileStamp() && adapter.error().code == "E_SAFETENSORS";
      changed.is_incomplete = has_no_weights || adapter.error().code == "E_NO_CONFIG";
    }
    return changed;
  }
  return Error{"E_CHANGED", "its files changed while they were read", {}};
}

}  // namespace slora
