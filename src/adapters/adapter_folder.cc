#include "adapters/adapter_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>

#include "adapters/foreign_form.h"
#include "formats/file.h"
#include "formats/folder.h"

namespace slora {
namespace {

constexpr std::string_view kConfig = "adapter_config.json";
constexpr std::string_view kWeights = "adapter_model.safetensors";
constexpr std::array<std::string_view, 3> kPickles = {"adapter_model.bin", "adapter_model.pt", "trainable_params.bin"};

std::string in(const std::string& folder, std::string_view name) { return fmt::format("{}/{}", folder, name); }

bool exists(const std::string& path) {
  std::error_code ignored;  // a file that cannot be examined counts as missing
  return std::filesystem::exists(path, ignored);
}

// Names of the folder's entries, as many as a message needs.
std::vector<std::string> entries_of(const std::string& folder) {
  constexpr std::size_t kNamesMax = 1000;
  std::vector<std::string> names;
  std::error_code failed;
  for (std::filesystem::directory_iterator at(folder, failed), end; !failed && at != end && names.size() < kNamesMax;
       at.increment(failed)) {
    names.push_back(at->path().filename().string());
  }
  return names;
}

FolderStamp::File stamp_of_file(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return {};
  const auto nanoseconds = [](const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; };
  return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size), nanoseconds(status.st_mtim),
          nanoseconds(status.st_ctim)};
}

// Also refuses what the config's reader accepts but no importer serves, before the weights are opened.
Result<AdapterConfig> read_served_config(const std::string& folder) {
  const Result<Folder> opened = Folder::open(folder);
  if (!opened && opened.error().code == "E_NO_FOLDER")
    return error("E_NO_CONFIG", "expected {} in the adapter folder, found none", kConfig);
  if (!opened) return tl::unexpected(opened.error());
  Result<AdapterConfig> config = read_adapter_config(*opened);
  if (config && config->use_dora) return error("E_UNSUPPORTED_OPTION", "{}: \"use_dora\": DoRA is not served yet", kConfig);
  return config;
}

Status check_weights_exist(const std::string& folder) {
  if (exists(in(folder, kWeights))) return {};
  const auto pickle = std::ranges::find_if(kPickles, [&](std::string_view name) { return exists(in(folder, name)); });
  if (pickle == kPickles.end()) {
    if (const std::string_view form = foreign_form_of_files(entries_of(folder)); !form.empty())
      return error("E_FOREIGN", "expected {}, found {}", kWeights, form);
  }
  if (pickle == kPickles.end()) return error("E_SAFETENSORS", "expected {} in the adapter folder, found none", kWeights);
  return error("E_PICKLE",
               "expected {}, found only {}, a pickle, which may run any code when opened; load it with PEFT and save it again: "
               "save_pretrained writes safetensors",
               kWeights, *pickle);
}

}  // namespace

FolderStamp stamp_of(const std::string& folder) { return {stamp_of_file(in(folder, kConfig)), stamp_of_file(in(folder, kWeights))}; }

Result<AdapterFolder> open_adapter_folder(const std::string& folder) {
  Result<AdapterConfig> config = read_served_config(folder);
  if (!config) return forward_error(config);
  if (Status status = check_weights_exist(folder); !status) return forward_error(status);
  Result<SafetensorsFile> weights = SafetensorsFile::open(in(folder, kWeights));
  if (!weights) return forward_error(weights);
  return AdapterFolder{std::move(*config), std::move(*weights)};
}

Result<AdapterConfig> peek_adapter_config(const std::string& folder) {
  Result<AdapterConfig> config = read_served_config(folder);
  if (!config) return config;
  if (Status status = check_weights_exist(folder); !status) return forward_error(status);
  Result<ReadOnlyFile> weights = ReadOnlyFile::open(in(folder, kWeights));
  if (!weights) return forward_error(weights);
  std::array<std::byte, 8> length{};  // little-endian
  if (weights->bytes() < length.size())
    return error("E_SAFETENSORS", "{}: expected at least 8 bytes, found {}", kWeights, weights->bytes());
  if (Status read = weights->read_at(length, 0); !read) return forward_error(read);
  std::uint64_t header_bytes = 0;
  for (std::size_t i = length.size(); i-- > 0;) header_bytes = header_bytes << 8 | std::to_integer<std::uint64_t>(length[i]);
  if (header_bytes > weights->bytes() - length.size()) {
    return error("E_SAFETENSORS", "{}: expected a header within the file's {} bytes, found one of {}", kWeights, weights->bytes(),
                 header_bytes);
  }
  return config;
}

bool is_adapter_folder(const std::string& folder) { return !adapter_files_of(folder).empty(); }

bool is_complete_adapter_folder(const std::string& folder) { return exists(in(folder, kConfig)) && adapter_files_of(folder).size() > 1; }

std::vector<std::string> adapter_files_of(const std::string& folder) {
  std::vector<std::string> files;
  for (const std::string_view name : {kConfig, kWeights, kPickles[0], kPickles[1], kPickles[2]}) {
    if (std::string path = in(folder, name); exists(path)) files.push_back(std::move(path));
  }
  return files;
}

}  // namespace slora
