#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace slora {

// A folder that appears at its path with all of its content, or not at all: it is filled next to that path under another name, and gets its
// own when it is complete. The destructor removes what was not published. Move-only; one thread.
class NewFolder {
 public:
  // E_EXISTS if there is anything at the path, also a link that leads nowhere; E_WRITE if its parent is no folder, or the system refuses.
  static Result<NewFolder> create(const std::string& path);

  NewFolder(NewFolder&& other) noexcept : path_(std::move(other.path_)), unfinished_(std::exchange(other.unfinished_, {})) {}
  NewFolder& operator=(NewFolder&&) = delete;
  ~NewFolder();

  // The path of a file to be written into it.
  [[nodiscard]] std::string file(std::string_view name) const { return unfinished_ + "/" + std::string(name); }
  // Requires: not called before. E_EXISTS if something came to be at the path meanwhile, which stays as it is; E_WRITE.
  [[nodiscard]] Status publish();

 private:
  NewFolder(std::string path, std::string unfinished) : path_(std::move(path)), unfinished_(std::move(unfinished)) {}

  std::string path_;
  std::string unfinished_;  // where it is filled; empty: published, or moved from
};

}  // namespace slora
