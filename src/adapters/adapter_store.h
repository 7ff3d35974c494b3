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

// What the outside may know of an adapter: a line of /v1/models.
struct AdapterListing {
  std::string name;
  std::string folder;            // for the operator only
  std::optional<Error> refused;  // why it can't be served; nothing is known against an adapter before its first use
  std::string base_model_name;   // as its config says; may be empty
  std::int64_t rank = 0;         // the config's default; 0 when the config could not be read
};

struct AdapterCounts {
  std::size_t registered = 0, refused = 0;
};

// An adapter folder that was read whole and found fit to be served: what install() can put under a name at one stroke.
struct ExaminedAdapter {
  std::string folder;
  FolderStamp stamp;
  std::string base_model_name;
  std::int64_t rank = 0;  // the config's default
  std::uint32_t page_count = 0;
  Sha256Digest identity{};
  std::vector<std::string> warnings;
};

// What becomes of a name that already means an adapter.
enum class TakenName { refuse, replace };

// The adapters that a server knows, by name. Any thread; files are read outside of the lock.
class AdapterStore {
 public:
  explicit AdapterStore(AdapterBase base);

  // [A-Za-z0-9][A-Za-z0-9._/-]{0,127} without "..".
  [[nodiscard]] static bool is_name(std::string_view name);
  // "bad_name" when it is none.
  [[nodiscard]] static Status check_name(std::string_view name);

  // Lets `name` mean this folder from now on, whatever it meant before. Reads the config and the header's length only. An adapter
  // that can't be served is listed with its reason; an error is only a name that is none ("bad_name").
  [[nodiscard]] Status add_folder(std::string_view name, const std::string& folder);
  // The same for a name that means nothing yet; else "name_taken".
  [[nodiscard]] Status add_new_folder(std::string_view name, const std::string& folder);
  // Adds the adapter folders in `root`, or `root` itself when it is one, each named after its folder. Names that are taken keep
  // their meaning. The number added; "bad_folder" when `root` can't be listed.
  [[nodiscard]] Result<std::int32_t> add_root(const std::string& root);
  // Reads all of the folder, weights too, and changes nothing. What serving would refuse is refused, and E_TOO_LARGE beyond so many pages.
  [[nodiscard]] Result<ExaminedAdapter> examine(const std::string& folder, std::uint32_t page_count_max) const;
  // Lets `name` mean what was examined. "bad_name", or "name_taken" with TakenName::refuse; then, and until then, it keeps its meaning.
  [[nodiscard]] Status install(std::string_view name, const ExaminedAdapter& adapter, TakenName taken);

  // Takes the name away; sequences that run under it go on. False when there was none.
  bool remove(std::string_view name);
  // The same when the name means this folder; false when it means another or nothing.
  bool remove_folder(std::string_view name, const std::string& folder);

  // The content that `name` means at this moment; "not_found", or the reason why it is refused. Looks at the folder's files each
  // time: when they changed, the old version retires and a new one is made.
  // Shared, because a version lives on while sequences run under it, whatever its name means by then.
  [[nodiscard]] Result<std::shared_ptr<const AdapterVersion>> resolve(std::string_view name);

  // Reads the version's folder, writes every shard's image into its pages, and says where everything is in them. For loader threads; the
  // only place where weights are read. E_CHANGED when the folder no longer holds this version: the next resolve() makes a new one. A fault
  // in the weights (E_NONFINITE) makes the name a refused one; a fault of the disk (E_READ) is told and forgotten, here and in resolve().
  // Requires: of every shard version.page_count() pages, each of base().page_bytes and aligned to 64 bytes.
  [[nodiscard]] Result<std::vector<ImageLayout>> load(const AdapterVersion& version, std::span<const ImagePages> pages);

  // Versions that no name means any more, each told once: their images are of no use to new sequences. Takes no lock when there are none.
  [[nodiscard]] std::vector<AdapterId> take_retired();

  [[nodiscard]] std::vector<AdapterListing> list() const;  // sorted by name
  [[nodiscard]] std::optional<AdapterListing> find(std::string_view name) const;
  // The adapter that is meant by a name, or by its folder: all of the path, or so much of its end, by whole parts, that no other
  // adapter's folder ends so. No file is looked at.
  [[nodiscard]] std::optional<std::string> name_of_folder(std::string_view name_or_path) const;
  [[nodiscard]] AdapterCounts counts() const;
  [[nodiscard]] const AdapterBase& base() const { return base_; }

 private:
  // What one name means. Of the folder as it was at `stamp` is known: a version, a refusal, or nothing before the first resolve.
  struct Entry {
    std::string folder;
    std::string base_model_name;
    std::int64_t rank = 0;
    std::uint64_t registration = 0;  // tells entries apart that had one name after the other
    std::uint64_t generation = 0;    // versions made under the name
    FolderStamp stamp;
    std::shared_ptr<const AdapterVersion> version;
    std::unique_ptr<const Error> refused;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;
  using Found = Result<std::shared_ptr<const AdapterVersion>>;

  [[nodiscard]] bool add(std::string_view name, const std::string& folder, TakenName taken);
  // The lock must be held, in all of these.
  Entry& put(std::string_view name, Entry entry);
  void erase(Entries::iterator at);
  void make_version(std::string_view name, Entry& entry, std::uint32_t page_count);
  [[nodiscard]] static AdapterListing listing_of(const std::string& name, const Entry& entry);
  [[nodiscard]] static std::optional<Found> known(const Entry& entry, const FolderStamp& stamp);
  [[nodiscard]] std::optional<Found> settle(std::string_view name, std::uint64_t registration, const FolderStamp& stamp,
                                            const Result<PreparedAdapter>& prepared);
  void forget_version(Entry& entry);
  // Takes back what a name means when it still is this version: for another version with the next resolve(), or for a refusal.
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
