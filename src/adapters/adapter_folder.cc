#include "adapters/adapter_folder.h"

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "adapters/adapter_files.h"
#include "adapters/foreign_form.h"
#include "formats/file.h"
#include "formats/json.h"

namespace slora {
namespace {

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

// Refuses what the config's reader accepts but no importer serves too, before the weights are opened.
Result<AdapterConfig> read_served_config(const Folder& folder) {
  Result<AdapterConfig> config = read_adapter_config(folder);
  if (!config && config.error().code == "E_NO_CONFIG") {
    if (const std::string_view form = foreign_form_of(folder); !form.empty())
      return error("E_FOREIGN", "expected {}, found {}", kPeftConfig, form);
  }
  return config;
}

Result<AdapterConfig> parse_converted_config(const std::string& text) {
  const Result<Json> json = parse_json(text);
  if (!json) return tl::unexpected(json.error());
  return parse_adapter_config(*json);
}

// Of a PEFT folder.
Status check_weights(const Folder& folder) {
  const std::string_view pickle = find_pickle(folder);
  if (folder.exists(kPeftWeights) && !folder.exists(kLongLoraWeights)) return {};
  if (pickle.empty()) {
    if (const std::string_view form = foreign_form_of(folder); !form.empty())
      return error("E_FOREIGN", "expected {}, found {}", kPeftWeights, form);
    return error("E_SAFETENSORS", "expected {} in the adapter folder, found none", kPeftWeights);
  }
  return error(
      "E_PICKLE",
      "expected {} with all weights, found {}, a pickle, which may run any code when opened; slora convert makes a PEFT folder of it, "
      "and runs nothing",
      kPeftWeights, pickle);
}

Result<AdapterFolder> open_foreign_folder(Folder folder, const AdapterFiles& files, const ModuleTable* base, FileContents contents,
                                          Gate* gate) {
  Result<PeftForm> form = read_foreign_adapter(folder, files, base);
  if (!form) return forward_error(form);
  Result<AdapterConfig> config = parse_converted_config(form->config);
  if (!config) return forward_error(config);
  Result<SafetensorsFile> weights = make_weights_in_memory(*form, files.weights, contents, gate);
  if (!weights) return forward_error(weights);
  return AdapterFolder{std::move(folder), std::move(*config), std::move(*weights), std::move(form->config)};
}

}  // namespace

std::span<const std::string_view> text_files_of_adapters() { return kTexts; }

Result<FolderStamp> stamp_of(const Folder& folder) {
  const AdapterFiles files = find_adapter_files(folder);
  const Result<FileStamp> config = folder.stamp(files.config);
  if (!config) return tl::unexpected(config.error());
  const Result<FileStamp> weights = folder.stamp(files.weights);
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

Result<std::string> AdapterFolder::config_text() const {
  constexpr std::size_t kConfigBytesMax = std::size_t{16} << 20;
  if (!converted_config.empty()) return converted_config;
  return read_text_file(folder, kPeftConfig, kConfigBytesMax);
}

Result<AdapterFolder> open_adapter_folder(Folder folder, const ModuleTable* base, FileContents contents, Gate* gate) {
  const AdapterFiles files = find_adapter_files(folder);
  if (files.form != AdapterForm::peft) return open_foreign_folder(std::move(folder), files, base, contents, gate);
  Result<AdapterConfig> config = read_served_config(folder);
  if (!config) return forward_error(config);
  if (Status status = check_weights(folder); !status) return forward_error(status);
  Result<SafetensorsFile> weights = SafetensorsFile::open(folder.open_file(kPeftWeights));
  if (!weights) return forward_error(weights);
  return AdapterFolder{std::move(folder), std::move(*config), std::move(*weights), {}};
}

Result<AdapterConfig> peek_adapter_config(const Folder& folder) {
  const AdapterFiles files = find_adapter_files(folder);
  if (files.form != AdapterForm::peft) {
    const Result<PeftForm> form = read_foreign_adapter(folder, files, nullptr);
    return form ? parse_converted_config(form->config) : tl::unexpected(form.error());
  }
  Result<AdapterConfig> config = read_served_config(folder);
  if (!config) return config;
  if (Status status = check_weights(folder); !status) return forward_error(status);
  Result<ReadOnlyFile> weights = folder.open_file(kPeftWeights);
  if (!weights) return forward_error(weights);
  std::array<std::byte, 8> length{};  // little-endian
  if (weights->bytes() < length.size())
    return error("E_SAFETENSORS", "{}: expected at least 8 bytes, found {}", kPeftWeights, weights->bytes());
  if (Status read = weights->read_at(length, 0); !read) return forward_error(read);
  std::uint64_t header_bytes = 0;
  for (std::size_t i = length.size(); i-- > 0;) header_bytes = header_bytes << 8 | std::to_integer<std::uint64_t>(length[i]);
  if (header_bytes > weights->bytes() - length.size()) {
    return error("E_SAFETENSORS", "{}: expected a header within the file's {} bytes, found one of {}", kPeftWeights, weights->bytes(),
                 header_bytes);
  }
  return config;
}

bool is_adapter_folder(const Folder& folder) {
  const AdapterFiles files = find_adapter_files(folder);
  return folder.exists(files.config) || folder.exists(files.weights) || !find_pickle(folder).empty();
}

bool is_complete_adapter_folder(const Folder& folder) {
  const AdapterFiles files = find_adapter_files(folder);
  return folder.exists(files.config) && (folder.exists(files.weights) || !find_pickle(folder).empty());
}

Status check_links(const Folder& folder) {
  const AdapterFiles files = find_adapter_files(folder);
  for (const std::string_view name : {files.config, files.weights}) {
    const Result<ReadOnlyFile> file = folder.open_file(name);
    if (!file && file.error().code == "E_LINK") return tl::unexpected(file.error());
  }
  return {};
}

}  // namespace slora
