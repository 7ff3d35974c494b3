#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/folder.h"
#include "formats/temporary_folder.h"

namespace slora {

// Adapters whose tensors came in the body of a request, as folders in a temporary folder that only this user can read and that ends with
// the server. Of each name the latest content is kept, and the one before, which sequences may still need. Any thread.
class PushedAdapters {
 public:
  // `bytes_max`: of all of them.
  explicit PushedAdapters(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // Writes a folder of what is a safetensors file with the text of an adapter_config.json in its metadata, as "adapter_config".
  // E_SAFETENSORS, E_NO_CONFIG; E_TOO_LARGE when there is no space for it next to those of other names; E_WRITE.
  [[nodiscard]] Result<FolderPath> write(const std::string& name, std::string_view file);
  // What was written for this name, into this folder, was refused.
  void take_back(const std::string& name, const FolderPath& folder);
  // The name was unloaded.
  void forget(const std::string& name);

 private:
  struct Pushed {
    std::string folder;  // its name in folder_
    std::uint64_t bytes = 0;
  };
  static constexpr std::size_t kKeptCount = 2;  // of each name

  // Require: mutex_ is held.
  void remove(const Pushed& pushed);
  void shorten(std::vector<Pushed>& pushed, std::size_t count_max);

  const std::uint64_t bytes_max_;
  std::mutex mutex_;
  std::optional<TemporaryFolder> folder_;               // guarded by mutex_, as what follows; none before the first
  std::map<std::string, std::vector<Pushed>> by_name_;  // oldest first
  std::uint64_t bytes_ = 0;
  std::uint64_t count_ = 0;  // since the start
};

}  // namespace slora
