#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "api/text_model.h"
#include "base/testing/source_path.h"
#include "formats/temporary_folder.h"

namespace slora {

// A model folder's text files: the tokenizer of Qwen2, without its config, and what a test needs of the others.
class TextModelFolder {
 public:
  TextModelFolder(const std::string& generation_config, const std::string& chat_template) {
    std::filesystem::create_symlink(source_path("tests/golden/tokenizers/qwen2/tokenizer.json"), path() + "/tokenizer.json");
    folder_.write("generation_config.json", generation_config);
    folder_.write("chat_template.jinja", chat_template);
  }

  [[nodiscard]] std::string path() const { return folder_.path(); }
  [[nodiscard]] std::shared_ptr<const TextModel> load(std::int32_t vocabulary_size) const {
    return TextModel::load(path(), {.vocabulary_size = vocabulary_size}).value();
  }

 private:
  const TemporaryFolder folder_;
};

}  // namespace slora
