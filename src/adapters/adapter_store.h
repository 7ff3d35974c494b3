#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/adapter_folder.h"
#include "adapters/image_layout.h"
#include "base/ids.h"
#include "base/result.h"
#include "formats/module_table.h"
#include "formats/sha256.h"

namespace slora {

// What adapters are made for: the base's modules, and the form that images take in the pool.
struct AdapterBase {
  ModuleTable modules;
  ImageFormat format;
  std::size_t page_bytes = 0;
  std::int32_t rank_max = 512;
};

// One content of one adapter: what a name pointed to when it was resolved. Small: the layout is made again at each load.
// Shared, because a name may point elsewhere while sequences still run under the old content. Any thread.
class AdapterVersion {
 public:
  AdapterVersion(AdapterId id, std::string name, std::string folder, std::uint64_t generation, const FolderStamp& stamp,
                 std::uint32_t page_count)
      : id_(id), name_(std::move(name)), folder_(std::move(folder)), generation_(generation), stamp_(stamp), page_count_(page_count) {}

  [[nodiscard]] AdapterId id() const { return id_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }  // counts contents seen under the name, from 1
  [[nodiscard]] std::uint32_t page_count() const { return page_count_; }
  [[nodiscard]] const FolderStamp& stamp() const { return stamp_; }

  // SHA-256 of config and tensors; known from the first load on.
  [[nodiscard]] std::optional<Sha256Digest> identity() const;

 private:
  friend class AdapterStore;
  // Records the identity at the first call; later says whether `identity` is the recorded one.
  [[nodiscard]] bool confirm_identity(const Sha256Digest& identity) const;

  const AdapterId id_;
  const std::string name_;
  const std::string folder_;
  const std::uint64_t generation_;
  const FolderStamp stamp_;
  const std::uint32_t page_count_;
  mutable std::mutex mutex_;
  mutable std::optional<Sha256Digest> identity_;  // guarded by mutex_; set once
};

// A line of /v1/models and of `slora inspect`.
struct AdapterListing {
  std::string name;
  std::string folder;
  std::optional<Error> refused;
  std::string base_model_name;
  std::int64_t rank = 0;  // the config's default; 0 when it could not be read
};

// The adapters that a server knows, by name. Any thread; files are read outside of its lock.
class AdapterStore {
 public:
  explicit AdapterStore(AdapterBase base);

  // Names match [A-Za-z0-9][A-Za-z0-9._/-]{0,127} without "..".
  [[nodiscard]] static bool is_name(std::string_view name);

  // Lets `name` mean this folder from now on, whatever it meant before. Reads the config and the header's length; an adapter that
  // can't be served is listed with the reason, and only a bad name is an error ("bad_name").
  [[nodiscard]] Status add_folder(std::string_view name, const std::string& folder);
  // Adds the adapter folders in `root`, named after their folders, or `root` itself when it is one. Names that are taken keep
  // their meaning. The number added, or an error when `root` can't be listed.
  [[nodiscard]] Result<std::int32_t> add_root(const std::string& root);
  // False when there was none.
  bool remove(std::string_view name);

  // What `name` means now: "not_found", the reason why it is refused, or the content of its folder at this moment.
  [[nodiscard]] Result<std::shared_ptr<const AdapterVersion>> resolve(std::string_view name);

  // Reads the version's folder and writes its image into `pages`; the layout says where everything is. Called by loader threads. E_CHANGED
  // when the folder no longer holds this version: the next resolve() makes a new one.
  // Requires: pages.size() == version.page_count(), pages of base().page_bytes.
  [[nodiscard]] Result<ImageLayout> load(const AdapterVersion& version, std::span<std::byte* const> pages) const;

  // Versions that no name points to any more, each told once. Their images may be dropped when no sequence runs under them.
  [[nodiscard]] std::vector<AdapterId> take_retired();

  [[nodiscard]] std::vector<AdapterListing> list() const;  // sorted by name
  [[nodiscard]] const AdapterBase& base() const { return base_; }

 private:
  // A name and what is known about its folder as `stamp` says: a version, a refusal, or neither before the first resolve.
  struct Entry {
    std::string folder;
    std::uint64_t generation = 0;
    std::uint64_t registration = 0;  // differs between entries that had the same name one after the other
    FolderStamp stamp;
    std::shared_ptr<const AdapterVersion> version;
    std::unique_ptr<const Error> refused;
    std::string base_model_name;
    std::int64_t rank = 0;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  void retire(Entry& entry);

  const AdapterBase base_;
  mutable std::mutex mutex_;
  Entries entries_;                  // guarded by mutex_
  std::vector<AdapterId> retired_;   // guarded by mutex_
  std::uint64_t adapter_count_ = 0;  // guarded by mutex_; ids given so far: 0 is the base model
  std::uint64_t registrations_ = 0;  // guarded by mutex_
};

}  // namespace slora
