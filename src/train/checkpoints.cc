#include "train/checkpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "formats/new_folder.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-";

}  // namespace

Checkpoints::Checkpoints(std::string out, std::int32_t kept_max, WriteAdapter write_adapter)
    : folder_((fs::path(std::move(out)) / "checkpoints").string()), kept_max_(kept_max), write_adapter_(std::move(write_adapter)) {}

Result<std::string> Checkpoints::save(const TrainingState& state, const AdapterMasters& masters, const RunIdentity& run) {
  std::error_code failed;
  fs::create_directories(folder_, failed);
  if (failed) return error("E_WRITE", "{}: no folder can be made there: {}", quote(folder_), failed.message());
  std::string path = (fs::path(folder_) / fmt::format("{}{:08}", kPrefix, state.step)).string();
  if (fs::exists(path, failed)) return path;
  Result<NewFolder> folder = NewFolder::create(path);
  if (!folder) return forward_error(folder);
  const std::string unfinished = fs::path(folder->file("x")).parent_path().string();
  if (Status written = write_adapter_(unfinished, masters); !written) return forward_error(written);
  if (Status written = write_state(unfinished, state, run); !written) return forward_error(written);
  if (Status published = folder->publish(); !published) return forward_error(published);
  const Result<std::vector<std::string>> all = paths();
  if (!all) return tl::unexpected(all.error());
  for (std::size_t i = 0; std::cmp_less(i + static_cast<std::size_t>(kept_max_), all->size()); ++i) fs::remove_all((*all)[i], failed);
  return path;
}

Result<std::optional<std::string>> Checkpoints::newest() const {
  const Result<std::vector<std::string>> all = paths();
  if (!all) return tl::unexpected(all.error());
  if (all->empty()) return std::optional<std::string>();
  return std::optional(all->back());
}

Result<std::vector<std::string>> Checkpoints::paths() const {
  std::vector<std::string> found;
  std::error_code failed;
  if (!fs::exists(folder_, failed)) return found;
  fs::directory_iterator entries(folder_, failed);
  for (; !failed && entries != fs::directory_iterator(); entries.increment(failed)) {
    if (entries->path().filename().string().starts_with(kPrefix)) found.push_back(entries->path().string());
  }
  if (failed) return error("E_READ", "{}: can't be read: {}", quote(folder_), failed.message());
  std::ranges::sort(found);
  return found;
}

}  // namespace slora
