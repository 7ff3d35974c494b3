#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "adapters/adapter_account.h"
#include "adapters/adapter_image.h"
#include "adapters/adapter_look.h"
#include "adapters/adapter_version.h"
#include "adapters/blend_table.h"
#include "adapters/folder_source.h"
#include "adapters/host_images.h"
#include "adapters/image_layout.h"
#include "base/clock.h"
#include "base/gate.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/work_lanes.h"

namespace slora {

// An adapter as clients and operators see it: an entry of /v1/models.
struct AdapterListing {
  std::string name;
  std::string folder;                   // for the operator only
  std::optional<Error> refused;         // why it cannot be served; shapes and weights are checked at first use only
  std::string base_model_name;          // as its config says; may be empty
  std::int64_t rank = 0;                // the config's default; 0 when it has none or could not be read
  std::int32_t context_tokens_max = 0;  // see AdapterTraits
  bool is_available = true;             // its folder could be read at the last look
  // The content that the name means, once it was looked at. Shared, as AdapterStore::Found.
  std::shared_ptr<const AdapterVersion> version;
};

struct AdapterCounts {
  std::size_t registered = 0;
  std::size_t refused = 0;      // of these, and of the folders that have no name
  std::size_t unavailable = 0;  // of the registered: whose folders could not be read at the last look
};

// Where an adapter is, and what was done with it.
struct AdapterStanding {
  std::string name;
  bool is_in_pool = false, is_on_host = false;  // its image
  bool is_pinned = false;
  std::uint32_t page_count = 0;  // of its image; 0: it has no version now
  // Shared with the store and with those who count: it may be read after the name is gone.
  std::shared_ptr<const AdapterAccount> account;
};

struct AdapterStoreOptions {
  // How old news about a folder may be; those of the resident adapters get older when there are more than 500, because a thousand looks a
  // second are taken at most, or more than 20,000 names. With 0 every resolve() of an adapter that is not resident looks at its folder.
  Timestamp look_interval = std::chrono::seconds(1);
  // How long a request waits for a look at its adapter's folder.
  Timestamp look_time_max = std::chrono::seconds(10);
  // Memory for images between disk and pools; 0: none are kept.
  std::uint64_t host_bytes_max = 0;
  // For pages that the host cannot write: gives memory from which a device copies quickly, and all images are in such memory,
  // host_bytes_max of it or as much as a few loads need. What it gives may not outlive the store. Empty: loads write into the pages.
  HostArea::Allocate allocate_host = {};
};

// An adapter folder that was read in full and can be served; install() makes it the meaning of a name.
struct ExaminedAdapter {
  FolderPath folder;
  FolderStamp stamp;
  std::string base_model_name;
  std::int64_t rank = 0;  // the config's default; 0: it has none
  ImageSize size;
  AdapterTraits traits;
  Sha256Digest identity{};
  std::vector<std::string> warnings;
  // While it exists, whoever owns the folder leaves it there: so a name that means it is never without it. Null: nobody does.
  std::shared_ptr<const void> pin = {};
};

// What happens to a name that already means an adapter.
enum class TakenName { refuse, replace };

// The adapters that a server knows, by name. What a name means is answered from memory. Folders are looked at by threads of the store:
// those of resident adapters once in a look interval, the others when a request names them; each root and each device has threads of its
// own, so that a slow one holds up nobody else. Any thread.
class AdapterStore {
 public:
  using Found = Result<std::shared_ptr<const AdapterVersion>>;

  explicit AdapterStore(AdapterBase base, AdapterStoreOptions options = {}, const FolderSource& folders = system_folders());
  // Waits for the looks that are running.
  ~AdapterStore();
  AdapterStore(const AdapterStore&) = delete;
  AdapterStore& operator=(const AdapterStore&) = delete;

  // [A-Za-z0-9][A-Za-z0-9._/-]{0,127} without "..", "/." and "/-": parts of names become arguments of programs, and folders.
  [[nodiscard]] static bool is_name(std::string_view name);
  // "bad_name" when it is not a valid name.
  [[nodiscard]] static Status check_name(std::string_view name);

  // Registers this folder as `name`, replacing what the name meant. Reads the config and the header's length only. An adapter that
  // cannot be served is listed with the reason; the only error is an invalid name ("bad_name").
  [[nodiscard]] Status add_folder(std::string_view name, const FolderPath& folder);
  // The same for a free name; else "name_taken".
  [[nodiscard]] Status add_new_folder(std::string_view name, const FolderPath& folder);
  // Registers the adapter folders in `root`, or `root` itself when it is one, each under its folder's name. Names that are taken keep
  // their meaning; what is left out counts as refused. Returns the number added; "bad_folder" when `root` cannot be listed.
  [[nodiscard]] Result<std::int32_t> add_root(const std::string& root);
  // Reads the whole folder, weights included, through `gate`, and changes nothing. Refuses what serving would refuse; E_TOO_LARGE for an
  // image of more than page_count_max pages.
  [[nodiscard]] Result<ExaminedAdapter> examine(const FolderPath& folder, std::uint32_t page_count_max, Gate& gate) const;
  // The same, however long it takes.
  [[nodiscard]] Result<ExaminedAdapter> examine(const FolderPath& folder, std::uint32_t page_count_max) const;
  // Atomically makes `name` mean what was examined. "bad_name", or "name_taken" with TakenName::refuse; the name then keeps its meaning.
  [[nodiscard]] Status install(std::string_view name, const ExaminedAdapter& adapter, TakenName taken);

  // Removes the name; running sequences continue. False when there was none.
  bool remove(std::string_view name);
  // The same if the name means this folder; false when it means another or nothing.
  bool remove_folder(std::string_view name, const std::string& folder);

  // A folder got no name, and counts as refused until it gets one or is forgotten.
  void note_left_out(const std::string& folder);
  void forget_left_out(const std::string& folder);

  // Whether any name means a folder of this path; and removes all that do.
  [[nodiscard]] bool has_folder(std::string_view path) const;
  void remove_names_of(std::string_view path);

  // The content that `name` means as far as memory says: "not_found", why it is refused, or "adapter_unavailable" while its folder cannot
  // be read. A resident adapter is found whatever happens to its folder. Reads no file. Shared, because running sequences keep a version
  // after it is retired.
  [[nodiscard]] Found find_version(std::string_view name) const;
  // The weighted sum of the changes that these adapters make to the base, as one version: the same for the same contents and weights, in
  // any order. One adapter at weight 1 is itself. Fails as find_version() does for any of them, and with E_BLEND for adapters that cannot
  // be blended; reads no file. Requires: different names.
  [[nodiscard]] Found find_blend(std::span<const WeightedAdapter> names);
  // Whether that is news enough: the adapter is resident, or its folder was looked at within the look interval, or hangs.
  [[nodiscard]] bool is_known(std::string_view name) const;
  // Calls `then` once is_known(): at once, or on a thread of the store after a look, at the latest after look_time_max.
  void await(std::string_view name, std::function<void()> then);
  // The same after a look in any case, for what is_known() says nothing about: at once only when there is no such adapter or its folder
  // hangs.
  void await_look(std::string_view name, std::function<void()> then);
  // Waits until the name is known and finds its version. When its files changed, the old version is retired and a new one made.
  [[nodiscard]] Found resolve(std::string_view name);
  // What others read from the folders of adapters: called by each look that found a version, on the thread that looks, so that no request
  // waits elsewhere for a disk. Requires: set before the first look, and may be called until the store ends.
  void on_look(std::function<void(const AdapterVersion&)> read) { read_more_ = std::move(read); }
  // Looks at the folders of all resident adapters now, and waits until that is done; false when it takes longer than look_time_max.
  [[nodiscard]] bool look_at_resident();
  // Waits until no look is running; false when `limit` has passed before.
  [[nodiscard]] bool wait_for_looks(std::chrono::milliseconds limit) { return lanes_.wait_until_idle(limit); }

  // Copies the version's image from the host's memory, or reads its folder, and writes every shard's image into its pages through `gate`.
  // Returns the layouts. For loader threads; the only place where weights are read for serving. A version that was never loaded takes the
  // content that the folder has now, if an image of it fits the version's pages: where an adapter is replaced often, its files are others
  // than those that were looked at. E_CHANGED when the folder no longer holds this version, also after some attempts while it is being
  // replaced, "adapter_unavailable" while it cannot be read or after the gate was closed: the next resolve() looks again. After a fault
  // in the weights (E_NONFINITE) the name is refused. Requires: of every shard version.pages_in_all() pages, its own before those that it
  // shares, each of base().page_bytes and aligned to 64 bytes.
  [[nodiscard]] Result<std::vector<ImageLayout>> load(const AdapterVersion& version, std::span<const ImagePages> pages, Gate& gate,
                                                      SharedPart shared = SharedPart::write);
  // The same as an image in the host's memory, for pages that the host cannot write: whoever asks copies it, through `gate`, which
  // lives as long as the image is held. Waits while there is no space for it. Requires: AdapterStoreOptions::allocate_host.
  [[nodiscard]] Result<std::shared_ptr<const HostImage>> load_image(const AdapterVersion& version, Gate& gate,
                                                                    SharedPart shared = SharedPart::write);

  // Null when the version has no image in the host's memory for such a load. While the result exists, load() finds the image, unless the
  // version is retired.
  [[nodiscard]] std::shared_ptr<const HostImage> host_image(const AdapterVersion& version, SharedPart shared = SharedPart::leave) const {
    return host_images_.keep(version.id(), shared);
  }
  // Whether loads wait for memory of images that others hold.
  [[nodiscard]] bool has_host_area() const { return host_images_.has_area(); }
  [[nodiscard]] HostImages::Counts host_counts() const { return host_images_.counts(); }

  // Versions that were retired since the last call: no new sequence will use their images. Takes no lock when there are none.
  [[nodiscard]] std::vector<AdapterId> take_retired();

  // What follows about all adapters is read in pieces, between which others find theirs: who is added, changed or removed meanwhile may be
  // in it or not.
  [[nodiscard]] std::vector<AdapterListing> list() const;  // sorted by name
  // Those after the name `begin` in the order of names, `count_max` at most, that `wanted` holds for; it must not call the store.
  [[nodiscard]] std::vector<AdapterListing> list_after(std::string_view begin, std::size_t count_max,
                                                       const std::function<bool(const std::string& name)>& wanted) const;
  // The names of those that are not refused, sorted, and a number that changes with them.
  struct Served {
    std::uint64_t stamp = 0;
    std::vector<std::string> names;
    std::vector<std::int32_t> context_tokens_max;  // [names]; see AdapterTraits
  };
  [[nodiscard]] Served served() const;
  [[nodiscard]] std::uint64_t served_stamp() const;
  // The contents that these names mean, as the engine numbers them; sorted.
  [[nodiscard]] std::vector<AdapterId> version_ids(const std::function<bool(const std::string& name)>& wanted) const;
  [[nodiscard]] std::optional<AdapterListing> find(std::string_view name) const;
  // The adapter with this name, or whose folder is or ends with this path (in whole components), if there is only one. Reads no file.
  [[nodiscard]] std::optional<std::string> name_of_folder(std::string_view name_or_path) const;
  [[nodiscard]] AdapterCounts counts() const;

  // Of the adapters that have an image, or of which anything was counted; sorted by name. O(registered adapters).
  [[nodiscard]] std::vector<AdapterStanding> standings() const;
  // Of one; nothing when there is no such adapter.
  [[nodiscard]] std::optional<AdapterStanding> standing_of(std::string_view name) const;
  // Of all adapters and blends since the start, those that are gone included.
  [[nodiscard]] AdapterFigures total_figures() const { return total_->figures(); }
  // See AdapterAccount::idle_time(). The engine follows when it is notified or loads the adapter. False when there is no such adapter.
  bool set_idle_time(std::string_view name, std::optional<Timestamp> time);

  [[nodiscard]] const AdapterBase& base() const { return base_; }

 private:
  // What one name means: for the folder as it was at `stamp`, a version, a refusal, or neither before the first look.
  struct Entry {
    FolderPath folder;
    std::string base_model_name;
    std::int64_t rank = 0;
    std::int32_t context_tokens_max = 0;  // see AdapterTraits
    std::uint64_t registration = 0;       // unique, to notice that the name was registered again
    std::uint64_t generation = 0;         // versions made under the name
    FolderStamp stamp;
    std::shared_ptr<const AdapterVersion> version;
    std::unique_ptr<const Error> refused;
    std::unique_ptr<const Error> unavailable;  // why the last look could not read the folder
    std::optional<Timestamp> looked_at;        // when the last look that ended began
    bool is_looking = false;
    std::shared_ptr<AdapterAccount> account;  // never null once it was put(); see AdapterVersion::Origin
  };
  using Entries = std::map<std::string, Entry, std::less<>>;
  // Who waits for a look.
  struct Waiter {
    std::string name;
    Timestamp deadline;
    std::function<void()> then;
  };

  template <class Visit>
  void visit_after(std::string_view begin, Visit visit) const;
  [[nodiscard]] bool add(std::string_view name, const FolderPath& folder, TakenName taken);
  [[nodiscard]] Result<AdapterConfig> peek(Entry& entry, const Folder& folder) const;
  void look(const std::string& name, std::uint64_t registration);
  void watch(const std::stop_token& stop);
  void look_now(const std::string& name, std::uint64_t registration);
  static void run(const std::vector<Waiter>& waiters);
  // Require: mutex_ is held.
  Entry& put(std::string_view name, Entry entry);
  void erase(Entries::iterator at);
  void forget_folder(const Entry& entry);
  [[nodiscard]] bool has_name(std::string_view folder) const;
  void make_version(std::string_view name, Entry& entry, const ImageSize& size, AdapterTraits traits);
  [[nodiscard]] AdapterStanding standing_of(const std::string& name, const Entry& entry) const;
  [[nodiscard]] static AdapterListing listing_of(const std::string& name, const Entry& entry);
  [[nodiscard]] static bool is_resident(const Entry& entry);
  [[nodiscard]] bool is_known(const Entry& entry, Timestamp now) const;
  [[nodiscard]] static Found version_of(const std::string& name, const Entry& entry);
  void start_look(Entries::iterator at);
  [[nodiscard]] bool wait_for_look(Entries::iterator at, Timestamp now, std::function<void()>& then);
  void start_due_looks(Timestamp now);
  void settle(const std::string& name, Entry& entry, AdapterLook seen);
  void settle_change(const std::string& name, Entry& entry, ChangedFolder seen);
  void set_unavailable(const std::string& name, Entry& entry, const Error& why);
  [[nodiscard]] std::vector<Waiter> take_waiters(std::string_view name);
  void release_waiters(std::string_view name);
  [[nodiscard]] std::vector<Waiter> take_overdue_waiters(Timestamp now);
  void forget_version(Entry& entry);
  void retire(const AdapterVersion& version);
  [[nodiscard]] Status check_blend(std::span<const BlendComponent> components) const;

  // Written to `pages`, or to an image if there are none or one is kept.
  struct Loaded {
    std::vector<ImageLayout> layouts;  // of what was written to pages
    std::shared_ptr<const HostImage> image;
  };
  [[nodiscard]] Result<Loaded> try_load(const AdapterVersion& version, std::span<const ImagePages> pages, Gate& gate, SharedPart shared);
  [[nodiscard]] Result<Loaded> load_once(const AdapterVersion& version, std::span<const ImagePages> pages, Gate& gate, SharedPart shared);
  // Null where none can be made and none is needed.
  [[nodiscard]] Result<std::shared_ptr<HostImage>> make_host_image(const PreparedAdapter& adapter, SharedPart shared, Gate& gate);
  void note_files(const AdapterVersion& version, const FolderStamp& files);
  // Why the files of this version could not be loaded; the next resolve() looks again.
  [[nodiscard]] tl::unexpected<Error> refuse_load(const AdapterVersion& version, const Error& why);
  // If the name still means this version, retires it: the next resolve() makes a new one, unless `refused` is given.
  void withdraw(const AdapterVersion& version, std::unique_ptr<const Error> refused);

  static constexpr std::size_t kBlendsMax = 1024;  // that no image and no sequence needs
  // What one adapter of the highest rank on q, k and v takes.
  static constexpr std::int32_t kBlendZColsMax = 3 * kAdapterRankMax;

  const AdapterBase base_;
  const AdapterStoreOptions options_;
  const FolderSource& folders_;
  const SteadyClock clock_;
  const std::shared_ptr<AdapterAccount> total_ = std::make_shared<AdapterAccount>();
  std::function<void(const AdapterVersion&)> read_more_;  // constant after on_look()
  HostImages host_images_;
  mutable std::mutex mutex_;
  std::condition_variable woken_;                                // ends the wait of the watching thread
  Entries entries_;                                              // guarded by mutex_
  std::map<std::string, std::size_t, std::less<>> name_counts_;  // guarded by mutex_; of the paths of folders that names mean
  std::string last_visited_;                                     // by start_due_looks(); guarded by mutex_
  std::vector<Waiter> waiters_;                                  // guarded by mutex_
  BlendTable blends_{kBlendsMax};                                // guarded by mutex_
  SharedImageTable shared_images_;                               // guarded by mutex_
  std::vector<AdapterId> retired_;                               // guarded by mutex_
  std::atomic<bool> has_retired_{false};                         // written under mutex_
  std::uint64_t registration_count_ = 0;                         // guarded by mutex_
  std::uint64_t version_count_ = 0;                              // guarded by mutex_; also the last AdapterId given
  std::set<std::string> left_out_;                               // guarded by mutex_; paths of folders that got no name
  WorkLanes lanes_;                                              // its jobs use the members above
  std::jthread watcher_;                                         // last: uses all others
};

}  // namespace slora
