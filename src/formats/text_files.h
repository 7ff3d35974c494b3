#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/folder.h"
#include "formats/sha256.h"

namespace slora {

// The files of a model's or an adapter's folder that are about text: tokenizer, templates, settings of generation. Read once, so that
// everything made of them comes from one content. Constant after construction.
class TextFiles {
 public:
  // Files that are missing are left out, and so is the folder. E_READ, E_LINK, E_FILE_TYPE, E_TOO_LARGE.
  [[nodiscard]] static Result<TextFiles> read(const FolderPath& path);

  // Nothing of the folder is about text.
  [[nodiscard]] bool is_empty() const { return contents_.empty(); }
  // Nullptr if there is no such file.
  [[nodiscard]] const std::string* find(std::string_view name) const;
  // All of them, by path within the folder.
  [[nodiscard]] const std::map<std::string, std::string, std::less<>>& contents() const { return contents_; }
  // The files of the folder additional_chat_templates, by name without ".jinja".
  [[nodiscard]] std::map<std::string, std::string> further_templates() const;
  // Of all names and contents.
  [[nodiscard]] Sha256Digest digest() const;

 private:
  TextFiles() = default;

  std::map<std::string, std::string, std::less<>> contents_;
};

}  // namespace slora
