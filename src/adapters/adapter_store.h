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

#include "adapters/adapter_image.h"
#include "adapters/adapter_version.h"
#include "adapters/image_layout.h"
#include "base/ids.h"
#include "base/result.h"

namespace slora {

// An adapter as clients and operators see it: an entry of /v1/models.
struct AdapterListing {
  std::string name;
  std::string folder;            // for the operator only
  std::optional<Error> refused;  // why it cannot be served; shapes and weights are checked at first use only
  std::string base_model_name;   // as its config says; may be empty
  std::int64_t rank = 0;         // the config's default; 0 when the config could not be read
};

struct AdapterCounts {
  std::size_t registered = 0, refused = 0;
};

// An adapter folder that was read in full and can be served; install() makes it the meaning of a name.
struct ExaminedAdapter {
  std::string folder;
  FolderStamp stamp;
  std::string base_model_name;
  std::int64_t rank = 0;  // the config's default
  std::uint32_t page_count = 0;
  Sha256Digest identity{};
  std::vector<std::string> warnings;
};

// What happens to a name that already means an adapter.
enum class TakenName { refuse, replace };

// The adapters that a server knows, by name. Any thread; files are read outside of the lock.
class AdapterStore {
 public:
  explicit AdapterStore(AdapterBase base);

  // [A-Za-z0-9][A-Za-z0-9._/-]{0,127} without "..".
  [[nodiscard]] static bool is_name(std::string_view name);
  // "bad_name" when it is not a valid name.
  [[nodiscard]] static Status check_name(std::string_view name);

  // Registers this folder as `name`, replacing what the name meant. Reads the config and the header's length only. An adapter that
  // cannot be served is listed with the reason; the only error is an invalid name ("bad_name").
  [[nodiscard]] Status add_folder(std::string_view name, const std::string& folder);
  // The same for a free name; else "name_taken".
  [[nodiscard]] Status add_new_folder(std::string_view name, const std::string& folder);
  // Registers the adapter folders in `root`, or `root` itself when it is one, each under its folder's name. Names that are taken keep
  // their meaning. Returns the number added; "bad_folder" when `root` cannot be listed.
  [[nodiscard]] Result<std::int32_t> add_root(const std::string& root);
  // Reads the whole folder, weights included, and changes nothing. Refuses what serving would refuse; E_TOO_LARGE for an image of more
  // than page_count_max pages.
  [[nodiscard]] Result<ExaminedAdapter> examine(const std::string& folder, std::uint32_t page_count_max) const;
  // Atomically makes `name` mean what was examined. "bad_name", or "name_taken" with TakenName::refuse; the name then keeps its meaning.
  [[nodiscard]] Status install(std::string_view name, const ExaminedAdapter& adapter, TakenName taken);

  // Removes the name; running sequences continue. False when there was none.
  bool remove(std::string_view name);
  // The same if the name means this folder; false when it means another or nothing.
  bool remove_folder(std::string_view name, const std::string& folder);

  // The content that `name` means now; "not_found", or the reason why it is refused. Compares the folder's files each time: when they
  // changed, the old version is retired and a new one made. Shared, because running sequences keep a version after it is retired.
  [[nodiscard]] Result<std::shared_ptr<const AdapterVersion>> resolve(std::string_view name);

  // Reads the version's folder, writes every shard's image into its pages, and returns the layouts. For loader threads; the only place
  // where weights are read for serving. E_CHANGED when the folder no longer holds this version: the next resolve() makes a new one. After a
  // fault in the weights (E_NONFINITE) the name is refused; a fault of the disk (E_READ) is returned but not remembered, here and in
  // resolve().
  // Requires: of every shard version.page_count() pages, each of base().page_bytes and aligned to 64 bytes.
  [[nodiscard]] Result<std::vector<ImageLayout>> load(const AdapterVersion& version, std::span<const ImagePages> pages);

  // Versions that were retired since the last call: no new sequence will use their images. Takes no lock when there are none.
  [[nodiscard]] std::vector<AdapterId> take_retired();

  [[nodiscard]] std::vector<AdapterListing> list() const;  // sorted by name
  // The names of those that are not refused, sorted, and a number that changes with them.
  struct Served {
    std::uint64_t stamp = 0;
    std::vector<std::string> names;
  };
  [[nodiscard]] Served served() const;
  [[nodiscard]] std::uint64_t served_stamp() const;
  [[nodiscard]] std::optional<AdapterListing> find(std::string_view name) const;
  // The adapter with this name, or whose folder is or ends with this path (in whole components), if there is only one. Reads no file.
  [[nodiscard]] std::optional<std::string> name_of_folder(std::string_view name_or_path) const;
  [[nodiscard]] AdapterCounts counts() const;
  [[nodiscard]] const AdapterBase& base() const { return base_; }

 private:
  // What one name means: for the folder as it was at `stamp`, a version, a refusal, or neither before the first resolve.
  struct Entry {
    std::string folder;
    std::string base_model_name;
    std::int64_t rank = 0;
    std::uint64_t registration = 0;  // unique, to notice that the name was registered again
    std::uint64_t generation = 0;    // versions made under the name
    FolderStamp stamp;
    std::shared_ptr<const AdapterVersion> version;
    std::unique_ptr<const Error> refused;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;
  using Found = Result<std::shared_ptr<const AdapterVersion>>;

  [[nodiscard]] bool add(std::string_view name, const std::string& folder, TakenName taken);
  // Require: mutex_ is held.
  Entry& put(std::string_view name, Entry entry);
  void erase(Entries::iterator at);
  void make_version(std::string_view name, Entry& entry, std::uint32_t page_count);
  [[nodiscard]] std::uint64_t stamp_of_entries() const;
  [[nodiscard]] static AdapterListing listing_of(const std::string& name, const Entry& entry);
  [[nodiscard]] static std::optional<Found> known(const Entry& entry, const FolderStamp& stamp);
  [[nodiscard]] std::optional<Found> settle(std::string_view name, std::uint64_t registration, const FolderStamp& stamp,
                                            const Result<PreparedAdapter>& prepared);
  void forget_version(Entry& entry);
  // If the name still means this version, retires it: the next resolve() makes a new one, unless `refused` is given.
  void withdraw(const AdapterVersion& version, std::unique_ptr<const Error> refused);

  const AdapterBase base_;
  mutable std::mutex mutex_;
  Entries entries_;                       // guarded by mutex_
  std::vector<AdapterId> retired_;        // guarded by mutex_
  std::atomic<bool> has_retired_{false};  // written under mutex_
  std::uint64_t registration_count_ = 0;  // guarded by mutex_
  std::uint64_t version_count_ = 0;       // guarded by mutex_; also the last AdapterId given
};

}  // namespace slora
