#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/temporary_folder.h"

namespace slora {

// Folders of fetched adapters on disk, of one server at a time. Bounded by their bytes: those that were used longest ago give way. Each is
// remembered with the name, the revision and the content that it had, across restarts. Not synchronised: its owner has a lock.
class SourceCache {
 public:
  struct Entry {
    std::string name, revision;
    std::string identity;  // SHA-256 of config and tensors, in hexadecimal digits
    std::uint64_t bytes = 0;
  };
  // Whether the folder of this path may be removed, which is about to happen.
  using LetGo = std::function<bool(const std::string& path)>;

  // Makes the folder if it is not there, and removes what an interrupted fetch left of itself. E_CACHE when it can't be used, or another
  // server uses it.
  [[nodiscard]] static Result<std::unique_ptr<SourceCache>> open(const std::filesystem::path& folder, std::uint64_t bytes_max);
  ~SourceCache();
  SourceCache(const SourceCache&) = delete;
  SourceCache& operator=(const SourceCache&) = delete;

  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // The same for the same name and revision: the name of its folder in this one.
  [[nodiscard]] static std::string key_of(std::string_view name, std::string_view revision);
  [[nodiscard]] std::string path_of(const std::string& key) const { return folder_ + "/" + key; }

  // Counts as used now; null when it is not there.
  [[nodiscard]] const Entry* find(const std::string& key);
  // An empty folder to fetch into. E_CACHE.
  [[nodiscard]] Result<TemporaryFolder> make_folder() const;
  // Moves what was fetched to path_of(key). Replaces what is there, and removes others for which `let_go` says yes, until all fit. E_CACHE
  // when they do not, or the system refuses.
  [[nodiscard]] Status add(const std::string& key, const TemporaryFolder& fetched, Entry entry, const LetGo& let_go);
  void remove(const std::string& key);

 private:
  struct Stored {
    Entry entry;
    std::uint64_t used = 0;  // counts up
  };

  SourceCache(std::string folder, std::uint64_t bytes_max, int lock) : folder_(std::move(folder)), bytes_max_(bytes_max), lock_(lock) {}
  void read_records();
  [[nodiscard]] std::optional<Stored> read_record(const std::filesystem::path& path) const;
  [[nodiscard]] std::string record_of(const std::string& key) const { return path_of(key) + ".json"; }
  [[nodiscard]] bool make_space(std::uint64_t bytes, const LetGo& let_go);

  const std::string folder_;
  const std::uint64_t bytes_max_;
  const int lock_;  // a descriptor that holds the lock of the folder
  std::map<std::string, Stored> entries_;
  std::uint64_t bytes_ = 0;
  std::uint64_t use_count_ = 0;
};

}  // namespace slora
