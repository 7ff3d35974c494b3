#include "formats/text_files.h"

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

namespace slora {
namespace {

struct TextFile {
  std::string_view name;
  std::size_t bytes_max;
};

constexpr std::size_t kMebibyte = std::size_t{1} << 20;
constexpr std::array kTextFiles = {
    TextFile{"tokenizer.json", 64 * kMebibyte},
    TextFile{"tokenizer_config.json", 8 * kMebibyte},
    TextFile{"special_tokens_map.json", 8 * kMebibyte},
    TextFile{"added_tokens.json", 8 * kMebibyte},
    TextFile{"generation_config.json", 4 * kMebibyte},
    TextFile{"chat_template.jinja", kMebibyte},
    TextFile{"chat_template.json", 8 * kMebibyte},
    TextFile{"tokenizer.model", 64 * kMebibyte},
    TextFile{"vocab.json", 64 * kMebibyte},
    TextFile{"merges.txt", 64 * kMebibyte},
};
constexpr std::string_view kTemplateFolder = "additional_chat_templates";
constexpr std::string_view kTemplateEnding = ".jinja";
constexpr std::size_t kTemplateFilesMax = 64;

bool is_template(std::string_view name) { return name.size() > kTemplateEnding.size() && name.ends_with(kTemplateEnding); }

// Nothing if there is no such file.
Result<std::optional<std::string>> read_text(const Folder& folder, std::string_view name, std::size_t bytes_max) {
  Result<ReadOnlyFile> file = folder.open_file(name);
  if (!file && file.error().code == "E_NO_FILE") return std::nullopt;
  if (!file) return forward_error(file);
  if (file->bytes() > bytes_max) return error("E_TOO_LARGE", "{}: expected at most {} bytes, found {}", name, bytes_max, file->bytes());
  std::string text(file->bytes(), '\0');
  if (Status read = file->read_at(std::as_writable_bytes(std::span(text)), 0); !read) return forward_error(read);
  return text;
}

}  // namespace

Result<TextFiles> TextFiles::read(const FolderPath& path) {
  TextFiles files;
  const auto add = [&files](const Folder& folder, std::string_view name, const std::string& place, std::size_t bytes_max) -> Status {
    Result<std::optional<std::string>> text = read_text(folder, name, bytes_max);
    if (!text) return forward_error(text);
    if (*text) files.contents_.emplace(place, std::move(**text));
    return {};
  };
  const Result<Folder> folder = Folder::open(path);
  if (!folder && folder.error().code == "E_NO_FOLDER") return files;
  if (!folder) return tl::unexpected(folder.error());
  for (const TextFile& file : kTextFiles) {
    if (Status added = add(*folder, file.name, std::string(file.name), file.bytes_max); !added) return forward_error(added);
  }
  if (!folder->exists(kTemplateFolder)) return files;

  FolderPath templates_path = path;
  templates_path.path += fmt::format("/{}", kTemplateFolder);
  const Result<Folder> templates = Folder::open(templates_path);
  if (!templates && templates.error().code == "E_NO_FOLDER") return files;
  if (!templates) return tl::unexpected(templates.error());
  const Result<std::vector<std::string>> names = templates->entries(kTemplateFilesMax + 1);
  if (!names) return tl::unexpected(names.error());
  if (names->size() > kTemplateFilesMax) {
    return error("E_TOO_LARGE", "{}: expected at most {} templates, found more", kTemplateFolder, kTemplateFilesMax);
  }
  for (const std::string& name : *names) {
    if (!is_template(name)) continue;
    if (Status added = add(*templates, name, fmt::format("{}/{}", kTemplateFolder, name), kMebibyte); !added) return forward_error(added);
  }
  return files;
}

const std::string* TextFiles::find(std::string_view name) const {
  const auto found = contents_.find(name);
  return found == contents_.end() ? nullptr : &found->second;
}

std::map<std::string, std::string> TextFiles::further_templates() const {
  std::map<std::string, std::string> templates;
  for (const auto& [place, text] : contents_) {
    if (!place.starts_with(kTemplateFolder)) continue;
    const std::string_view name = std::string_view(place).substr(kTemplateFolder.size() + 1);
    templates.emplace(name.substr(0, name.size() - kTemplateEnding.size()), text);
  }
  return templates;
}

Sha256Digest TextFiles::digest() const {
  Sha256 hash;
  for (const auto& [place, text] : contents_) {
    const std::string head = fmt::format("{} {}\n", place, text.size());
    hash.update(std::as_bytes(std::span(head)));
    hash.update(std::as_bytes(std::span(text)));
  }
  return hash.finish();
}

}  // namespace slora
