#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
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
  class Push;

  // `bytes_max`: of all of them.
  explicit PushedAdapters(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // The only push of this name, until the result ends; so the name means what was pushed last. E_PUSH_UNDER_WAY while there is another one.
  // Outlived by *this. Shared by who writes and who installs.
  [[nodiscard]] Result<std::shared_ptr<Push>> begin(const std::string& name);
  // Unloads the name by `remove`, whose result this is: what was pushed is removed, and a push that is under way can't give the name a
  // meaning any more. No other push of any name is kept meanwhile.
  bool forget(const std::string& name, const std::function<bool()>& remove);

 private:
  struct Pushed {
    std::string folder;  // its name in folder_
    std::uint64_t bytes = 0;
  };
  struct Name {
    std::vector<Pushed> kept;  // oldest first
    Push* under_way = nullptr;
  };
  static constexpr std::size_t kKeptCount = 2;  // of each name

  [[nodiscard]] Result<Pushed> reserve(const std::string& name, std::uint64_t bytes);
  [[nodiscard]] std::string path_of(const Pushed& pushed) const { return folder_->path() + "/" + pushed.folder; }
  void remove_folders(const std::vector<Pushed>& removed);

  const std::uint64_t bytes_max_;
  std::mutex mutex_;
  std::optional<TemporaryFolder> folder_;  // guarded by mutex_ while there is none; then constant
  std::map<std::string, Name> names_;      // guarded by mutex_, as what follows
  std::uint64_t bytes_ = 0;
  std::uint64_t count_ = 0;  // since the start
};

// One push of a name. One thread at a time; forget() and other pushes may come meanwhile.
class PushedAdapters::Push {
 public:
  Push(PushedAdapters& all, std::string name) : all_(all), name_(std::move(name)) {}
  ~Push() { drop(); }
  Push(const Push&) = delete;
  Push& operator=(const Push&) = delete;

  // Writes a folder of what is a safetensors file with the text of an adapter_config.json in its metadata, as "adapter_config".
  // E_SAFETENSORS, E_NO_CONFIG; E_TOO_LARGE when there is no space for it next to those of other names; E_WRITE. Requires: called once.
  [[nodiscard]] Result<FolderPath> write(std::string_view file);
  // Ends the push: keeps the folder if `install`, which gives the name its meaning, succeeds. E_UNLOADED without calling it when the name
  // was unloaded meanwhile.
  [[nodiscard]] Status keep(const std::function<Status()>& install);
  // Ends the push, and removes what it wrote. Nothing when it has ended.
  void drop();

 private:
  friend class PushedAdapters;

  PushedAdapters& all_;
  const std::string name_;
  bool has_ended_ = true;  // until begin() has registered it; guarded by all_.mutex_, as what follows
  bool is_forgotten_ = false;
  std::optional<Pushed> written_;
};

}  // namespace slora
