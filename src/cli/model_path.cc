#include "cli/model_path.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "formats/gguf_names.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

bool is_hub_name(std::string_view text) {
  const auto is_name_character = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '_' || c == '-' || c == '/';
  };
  const bool has_one_slash = std::ranges::count(text, '/') == 1;
  return has_one_slash && text.front() != '/' && text.front() != '.' && text.back() != '/' && std::ranges::all_of(text, is_name_character);
}

// The first GGUF file of a folder in the order of their names; empty where there is none.
fs::path find_gguf(const fs::path& folder) {
  std::error_code ignored;
  fs::path first;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    if (is_gguf_path(entry.path().string()) && (first.empty() || entry.path() < first)) first = entry.path();
  }
  return first;
}

}  // namespace

Status check_model_folder(const std::string& path) {
  std::error_code ignored;
  if (fs::exists(fs::path(path) / "config.json", ignored)) return {};
  if (fs::is_regular_file(path, ignored)) {
    if (is_gguf_path(path)) return {};
    return error("no_model",
                 "{} is a file: expected a Hugging Face model folder (config.json, *.safetensors, tokenizer.json), or a GGUF file "
                 "(NAME.gguf).",
                 path);
  }
  if (const fs::path gguf = find_gguf(path); !gguf.empty()) {
    return error("no_model", "{} has no config.json, but a GGUF file: give that file itself, --model {}", path, gguf.string());
  }
  if (fs::is_directory(path, ignored)) {
    return error("no_model", "{} has no config.json: expected a Hugging Face model folder (config.json, *.safetensors, tokenizer.json).",
                 path);
  }
  if (!is_hub_name(path)) return error("no_model", "there is no folder {}.", path);
  const std::string folder = "models/" + path.substr(path.find('/') + 1);
  return error("no_model",
               "there is no folder {0}. If you mean the model of that name on the Hugging Face Hub, download it first:\n"
               "  pip install -U huggingface_hub\n"
               "  hf download {0} --local-dir {1}\n"
               "and give its folder: --model {1}",
               path, folder);
}

}  // namespace slora
