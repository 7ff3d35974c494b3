#pragma once
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/result.h"

namespace slora {

// A new folder that is deleted with its content by the destructor.
class TemporaryFolder {
 public:
  // In the system's temporary folder, for tests. Requires: that is writable.
  TemporaryFolder() {
    Result<TemporaryFolder> made = create();
    check(made.has_value(), "expected a temporary folder to be created");
    path_ = std::exchange(made->path_, {});
  }
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  // In the system's temporary folder, or E_WRITE.
  static Result<TemporaryFolder> create() {
    std::error_code failure;
    const std::filesystem::path parent = std::filesystem::temp_directory_path(failure);
    if (failure) return error("E_WRITE", "TMPDIR: {}", failure.message());
    Result<TemporaryFolder> folder = create_in(parent);
    if (!folder) return error("E_WRITE", "TMPDIR: {}", folder.error().message);
    return folder;
  }
  static Result<TemporaryFolder> create_in(const std::filesystem::path& parent) {
    std::string path = (parent / "slora-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) return error("E_WRITE", "no folder can be made in {}: {}", parent.string(), std::strerror(errno));
    return TemporaryFolder(Path{std::move(path)});
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

  // Writes a file and creates its parent folders; returns its path.
  std::string write(std::string_view name, std::string_view content) const {
    const std::string path = file(name);
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    return path;
  }

 private:
  struct Path {
    std::string path;
  };
  explicit TemporaryFolder(Path made) : path_(std::move(made.path)) {}

  std::string path_;  // empty: moved from
};

}  // namespace slora
