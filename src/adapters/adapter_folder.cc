#include "adapters/adapter_folder.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>
#include <utility>

#include "adapters/foreign_form.h"
#include "formats/file.h"

namespace slora {
namespace {

constexpr std::string_view kConfig = "adapter_config.json";
constexpr std::string_view kWeights = "adapter_model.safetensors";
constexpr std::array<std::string_view, 3> kPickles = {"adapter_model.bin", "adapter_model.pt", "trainable_params.bin"};
constexpr std::array<std::string_view, 12> kTexts = {"tokenizer.json",
                                                     "tokenizer_config.json",
                                                     "special_tokens_map.json",
                                                     "added_tokens.json",
                                                     "tokenizer.model",
                                                     "vocab.json",
                                                     "merges.txt",
                                                     "chat_template.jinja",
                                                     "chat_template.json",
                                                     "generation_config.json",
                                                     "additional_chat_templates",
                                                     "config.json"};

// FNV-1a of the stamp's numbers.
void mix(std::uint64_t& digest, const FileStamp& stamp) {
  for (const std::uint64_t value : {stamp.device, stamp.inode, stamp.bytes, static_cast<std::uint64_t>(stamp.modified_ns),
                                    static_cast<std::uint64_t>(stamp.changed_ns)}) {
    digest = (digest ^ value) * 0x100000001b3u;
    digest ^= digest >> 32;
  }
}

// Which other program's form the folder's files have; empty when none is recognised.
std::string_view foreign_form_of(const Folder& folder) {
  constexpr std::size_t kNamesMax = 1000;  // as many as a message needs
  const Result<std::vector<std::string>> names = folder.entries(kNamesMax);
  return names ? foreign_form_of_files(*names) : std::string_view();
}

// Also refuses what the config's reader accepts but no importer serves, before the weights are opened.
Result<AdapterConfig> read_served_config(const Folder& folder) {
  Result<AdapterConfig> config = read_adapter_config(folder);
  if (!config && config.error().code == "E_NO_CONFIG") {
    if (const std::string_view form = foreign_form_of(folder); !form.empty())
      return error("E_FOREIGN", "expected {}, found {}", kConfig, form);
  }
  return config;
}

bool has_pickle(const Folder& folder) {
  return std::ranges::any_of(kPickles, [&](std::string_view name) { return folder.exists(name); });
}

Status check_weights_exist(const Folder& folder) {
  if (folder.exists(kWeights)) return {};
  const auto pickle = std::ranges::find_if(kPickles, [&](std::string_view name) { return folder.exists(name); });
  if (pickle == kPickles.end()) {
    if (const std::string_view form = foreign_form_of(folder); !form.empty())
      return error("E_FOREIGN", "expected {}, found {}", kWeights, form);
  }
  if (pickle == kPickles.end()) return error("E_SAFETENSORS", "expected {} in the adapter folder, found none", kWeights);
  return error("E_PICKLE",
               "expected {}, found only {}, a pickle, which may run any code when opened; load it with PEFT and save it again: "
               "save_pretrained writes safetensors",
               kWeights, *pickle);
}

}  // namespace

Result<FolderStamp> stamp_of(const Folder& folder) {
  const Result<FileStamp> config = folder.stamp(kConfig);
  if (!config) return tl::unexpected(config.error());
  const Result<FileStamp> weights = folder.stamp(kWeights);
  if (!weights) return tl::unexpected(weights.error());
  FolderStamp stamp{*config, *weights};
  for (const std::string_view name : kTexts) {
    const Result<FileStamp> text = folder.stamp(name);
    if (!text) return tl::unexpected(text.error());
    mix(stamp.texts, *text);
  }
  return stamp;
}

std::uint64_t lane_of(const FolderPath& path, const FolderStamp& stamp) {
  std::uint64_t lane = std::hash<std::string>()(path.root);
  mix(lane, {.device = stamp.weights.device});
  return lane;
}

Result<AdapterFolder> open_adapter_folder(Folder folder) {
  Result<AdapterConfig> config = read_served_config(folder);
  if (!config) return forward_error(config);
  if (Status status = check_weights_exist(folder); !status) return forward_error(status);
  Result<SafetensorsFile> weights = SafetensorsFile::open(folder.open_file(kWeights));
  if (!weights) return forward_error(weights);
  return AdapterFolder{std::move(folder), std::move(*config), std::move(*weights)};
}

Result<AdapterConfig> peek_adapter_config(const Folder& folder) {
  Result<AdapterConfig> config = read_served_config(folder);
  if (!config) return config;
  if (Status status = check_weights_exist(folder); !status) return forward_error(status);
  Result<ReadOnlyFile> weights = folder.open_file(kWeights);
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

bool is_adapter_folder(const Folder& folder) { return folder.exists(kConfig) || folder.exists(kWeights) || has_pickle(folder); }

bool is_complete_adapter_folder(const Folder& folder) { return folder.exists(kConfig) && (folder.exists(kWeights) || has_pickle(folder)); }

Status check_links(const Folder& folder) {
  for (const std::string_view name : {kConfig, kWeights}) {
    const Result<ReadOnlyFile> file = folder.open_file(name);
    if (!file && file.error().code == "E_LINK") return tl::unexpected(file.error());
  }
  return {};
}

}  // namespace slora
