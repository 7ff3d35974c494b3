#include "cli/model_path.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

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

// The path if it is a GGUF file, or the first one in it if it is a folder; empty where there is none.
fs::path find_gguf(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path.extension() == ".gguf" ? path : fs::path();
  for (const fs::directory_entry& entry : fs::directory_iterator(path, ignored)) {
    if (entry.path().extension() == ".gguf") return entry.path();
  }
  return {};
}

}  // namespace

Status check_model_folder(const std::string& path) {
  std::error_code ignored;
  if (fs::exists(fs::path(path) / "config.json", ignored)) return {};
  if (const fs::path gguf = find_gguf(path); fs::exists(gguf, ignored)) {
    return error("no_model",
                 "{} is a GGUF file, of llama.cpp: expected a Hugging Face model folder (config.json, *.safetensors, tokenizer.json). "
                 "Download the model that it was made from; --weights int8 serves that with one byte a parameter.",
                 gguf.string());
  }
  if (fs::is_regular_file(path, ignored)) {
    return error("no_model", "{} is a file: expected a Hugging Face model folder (config.json, *.safetensors, tokenizer.json).", path);
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
