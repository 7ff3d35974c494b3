#include "adapters/adapter_store.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "adapters/adapter_roots.h"
#include "base/check.h"
#include "base/log.h"

namespace slora {
namespace {

constexpr std::size_t kNameBytesMax = 128;
constexpr int kResolveAttempts = 3;

bool is_alphanumeric(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

tl::unexpected<Error> refuse(std::string_view name, const Error& why) { return error(why.code, "adapter \"{}\": {}", name, why.message); }

tl::unexpected<Error> refuse_changed(std::string_view name) {
  return error("E_CHANGED", "adapter \"{}\": its files changed while it was read; try again", name);
}

tl::unexpected<Error> refuse_taken(std::string_view name) { return error("name_taken", "there is an adapter \"{}\" already", name); }

// Whether the error may go away without a change of the folder: a fault of the disk is no reason to refuse the adapter for good.
bool is_transient(const Error& why) { return why.code == "E_READ"; }

}  // namespace

AdapterStore::AdapterStore(AdapterBase base) : base_(std::move(base)) {}

bool AdapterStore::is_name(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax || !is_alphanumeric(name.front()) || name.find("..") != std::string_view::npos)
    return false;
  return std::ranges::all_of(name, [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '/' || c == '-'; });
}

Status AdapterStore::check_name(std::string_view name) {
  if (is_name(name)) return {};
  return error("bad_name",
               "an adapter's name begins with a letter or digit and has at most {} letters, digits, '.', '_', '/' and '-', but no \"..\"",
               kNameBytesMax);
}

Status AdapterStore::add_folder(std::string_view name, const std::string& folder) {
  if (Status usable = check_name(name); !usable) return usable;
  const bool is_added = add(name, folder, TakenName::replace);
  check(is_added, "expected TakenName::replace to replace");
  return {};
}

Status AdapterStore::add_new_folder(std::string_view name, const std::string& folder) {
  if (Status usable = check_name(name); !usable) return usable;
  if (add(name, folder, TakenName::refuse)) return {};
  return refuse_taken(name);
}

Result<std::int32_t> AdapterStore::add_root(const std::string& root) {
  const Result<std::vector<std::string>> folders = adapter_folders_of(root);
  if (!folders) return tl::unexpected(folders.error());
  std::int32_t added_count = 0;
  for (const std::string& folder : *folders) {
    const Status added = add_new_folder(std::filesystem::path(folder).filename().string(), folder);
    if (!added) log_warning("folder {} is left out: {}", folder, added.error().message);
    added_count += added ? 1 : 0;
  }
  return added_count;
}

bool AdapterStore::add(std::string_view name, const std::string& folder, TakenName taken) {
  Entry entry;
  entry.stamp = stamp_of(folder);
  entry.folder = folder;
  const Result<AdapterConfig> config = peek_adapter_config(folder);
  if (config) {
    entry.base_model_name = config->base_model_name;
    entry.rank = config->r;
  } else if (!is_transient(config.error())) {
    entry.refused = std::make_unique<const Error>(refuse(name, config.error()).value());
  }

  const std::lock_guard lock(mutex_);
  if (taken == TakenName::refuse && entries_.contains(name)) return false;
  if (!config) log_warning("refused: {} ({})", refuse(name, config.error()).value().message, config.error().code);
  put(name, std::move(entry));
  return true;
}

Result<ExaminedAdapter> AdapterStore::examine(const std::string& folder, std::uint32_t page_count_max) const {
  const FolderStamp stamp = stamp_of(folder);
  const Result<PreparedAdapter> prepared = prepare_adapter(folder, base_);
  if (!prepared) return tl::unexpected(prepared.error());
  const std::uint32_t page_count = prepared->page_count();
  if (page_count > page_count_max) {
    return error("E_TOO_LARGE", "its image takes {} pages, and the pool has {} for it; the server needs more --pool-memory", page_count,
                 page_count_max);
  }
  const Result<Sha256Digest> identity = verify_adapter(folder, *prepared);
  if (stamp_of(folder) != stamp) return error("E_CHANGED", "its files changed while they were read; try again");
  if (!identity) return tl::unexpected(identity.error());
  const AdapterConfig& config = prepared->folder.config;
  return ExaminedAdapter{folder, stamp, config.base_model_name, config.r, page_count, *identity, prepared->warnings};
}

Status AdapterStore::install(std::string_view name, const ExaminedAdapter& adapter, TakenName taken) {
  if (Status usable = check_name(name); !usable) return usable;
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at != entries_.end() && taken == TakenName::refuse) return refuse_taken(name);
  const bool is_the_same = at != entries_.end() && at->second.folder == adapter.folder && at->second.stamp == adapter.stamp;
  if (is_the_same && at->second.version) return {};  // its image stays valid
  Entry entry;
  entry.folder = adapter.folder;
  entry.stamp = adapter.stamp;
  entry.base_model_name = adapter.base_model_name;
  entry.rank = adapter.rank;
  Entry& place = put(name, std::move(entry));
  make_version(name, place, adapter.page_count);
  const bool is_first = place.version->confirm_identity(adapter.identity);
  check(is_first, "expected a new version to have no identity yet");
  for (const std::string& warning : adapter.warnings) log_warning("adapter \"{}\": {}", name, warning);
  return {};
}

AdapterStore::Entry& AdapterStore::put(std::string_view name, Entry entry) {
  Entry& place = entries_[std::string(name)];
  forget_version(place);
  entry.registration = ++registration_count_;
  entry.generation = place.generation;
  return place = std::move(entry);
}

void AdapterStore::erase(Entries::iterator at) {
  forget_version(at->second);
  entries_.erase(at);
}

void AdapterStore::make_version(std::string_view name, Entry& entry, std::uint32_t page_count) {
  const AdapterVersion::Origin origin{std::string(name), entry.folder, ++entry.generation, entry.stamp};
  entry.version = std::make_shared<const AdapterVersion>(AdapterId{++version_count_}, origin, page_count);
}

bool AdapterStore::remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at == entries_.end()) return false;
  erase(at);
  return true;
}

bool AdapterStore::remove_folder(std::string_view name, const std::string& folder) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at == entries_.end() || at->second.folder != folder) return false;
  erase(at);
  return true;
}

Result<std::shared_ptr<const AdapterVersion>> AdapterStore::resolve(std::string_view name) {
  for (int attempt = 0; attempt < kResolveAttempts; ++attempt) {
    std::string folder;
    std::uint64_t registration = 0;
    {
      const std::lock_guard lock(mutex_);
      const auto at = entries_.find(name);
      if (at == entries_.end()) return error("not_found", "there is no adapter of this name");
      folder = at->second.folder;
      registration = at->second.registration;
    }
    const FolderStamp stamp = stamp_of(folder);
    {
      const std::lock_guard lock(mutex_);
      const auto at = entries_.find(name);
      if (at == entries_.end() || at->second.registration != registration) continue;
      if (std::optional<Found> found = known(at->second, stamp)) return std::move(*found);
    }
    const Result<PreparedAdapter> prepared = prepare_adapter(folder, base_);
    if (stamp_of(folder) != stamp) continue;  // someone is writing it right now
    if (std::optional<Found> found = settle(name, registration, stamp, prepared)) return std::move(*found);
  }
  return refuse_changed(name);
}

std::optional<AdapterStore::Found> AdapterStore::known(const Entry& entry, const FolderStamp& stamp) {
  if (entry.stamp != stamp) return std::nullopt;
  if (entry.version) return Found(entry.version);
  if (entry.refused) return Found(tl::unexpected(*entry.refused));
  return std::nullopt;
}

// Stores the outcome of prepare_adapter as the meaning of the name, unless the name was registered again or another thread was first.
std::optional<AdapterStore::Found> AdapterStore::settle(std::string_view name, std::uint64_t registration, const FolderStamp& stamp,
                                                        const Result<PreparedAdapter>& prepared) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at == entries_.end() || at->second.registration != registration) return std::nullopt;
  Entry& entry = at->second;
  if (std::optional<Found> found = known(entry, stamp)) return found;
  if (!prepared && is_transient(prepared.error())) return Found(refuse(name, prepared.error()));

  forget_version(entry);
  entry.stamp = stamp;
  if (prepared) {
    make_version(name, entry, prepared->page_count());
    entry.refused.reset();
    for (const std::string& warning : prepared->warnings) log_warning("adapter \"{}\": {}", name, warning);
  } else {
    entry.refused = std::make_unique<const Error>(refuse(name, prepared.error()).value());
    log_warning("refused: {} ({})", entry.refused->message, entry.refused->code);
  }
  return known(entry, stamp);
}

Result<std::vector<ImageLayout>> AdapterStore::load(const AdapterVersion& version, std::span<const ImagePages> pages) {
  const auto has_all = [&](ImagePages shard) { return shard.size() == version.page_count(); };
  check(std::ranges::all_of(pages, has_all), "expected as many pages as the adapter has on every shard");
  if (stamp_of(version.folder()) != version.stamp()) return refuse_changed(version.name());
  Result<PreparedAdapter> adapter = prepare_adapter(version.folder(), base_);
  if (adapter && adapter->page_count() != version.page_count()) {
    withdraw(version, nullptr);
    return refuse_changed(version.name());
  }
  const Result<Sha256Digest> identity = adapter ? write_adapter(pages, version.folder(), *adapter) : tl::unexpected(adapter.error());
  if (stamp_of(version.folder()) != version.stamp()) return refuse_changed(version.name());
  if (!identity) {
    const Error why = refuse(version.name(), identity.error()).value();
    if (!is_transient(why)) withdraw(version, std::make_unique<const Error>(why));
    return tl::unexpected(why);
  }
  if (version.confirm_identity(*identity)) return std::move(adapter->layouts);
  withdraw(version, nullptr);  // other content with the same stamp, which only reading reveals: the version must not be resolved again
  return refuse_changed(version.name());
}

std::vector<AdapterId> AdapterStore::take_retired() {
  if (!has_retired_.load(std::memory_order_acquire)) return {};
  const std::lock_guard lock(mutex_);
  has_retired_.store(false, std::memory_order_relaxed);
  return std::exchange(retired_, {});
}

std::vector<AdapterListing> AdapterStore::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<AdapterListing> listings;
  listings.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) listings.push_back(listing_of(name, entry));
  return listings;
}

std::optional<AdapterListing> AdapterStore::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at == entries_.end()) return std::nullopt;
  return listing_of(at->first, at->second);
}

AdapterStore::Served AdapterStore::served() const {
  const std::lock_guard lock(mutex_);
  Served served{stamp_of_entries(), {}};
  served.names.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) {
    if (!entry.refused) served.names.push_back(name);
  }
  return served;
}

std::uint64_t AdapterStore::served_stamp() const {
  const std::lock_guard lock(mutex_);
  return stamp_of_entries();
}

// A registration has one name, and no two registrations the same number. An FNV hash of 64-bit words.
std::uint64_t AdapterStore::stamp_of_entries() const {
  constexpr std::uint64_t basis = 14695981039346656037U, prime = 1099511628211U;
  std::uint64_t stamp = basis;
  for (const auto& [name, entry] : entries_) stamp = (stamp ^ (entry.registration * 2 + (entry.refused ? 1 : 0))) * prime;
  return stamp;
}

AdapterCounts AdapterStore::counts() const {
  const std::lock_guard lock(mutex_);
  const auto refused = std::ranges::count_if(entries_, [](const auto& entry) { return entry.second.refused != nullptr; });
  return {entries_.size(), static_cast<std::size_t>(refused)};
}

AdapterListing AdapterStore::listing_of(const std::string& name, const Entry& entry) {
  return {name, entry.folder, entry.refused ? std::optional(*entry.refused) : std::nullopt, entry.base_model_name, entry.rank};
}

std::optional<std::string> AdapterStore::name_of_folder(std::string_view name_or_path) const {
  const std::filesystem::path normal = std::filesystem::path(name_or_path).lexically_normal();
  std::string end = (normal.has_filename() ? normal : normal.parent_path()).string();  // "adapters/sql/" as "adapters/sql"
  if (end.empty() || end == "." || end == "/") return std::nullopt;
  if (end.front() != '/') end.insert(end.begin(), '/');
  const bool is_whole = normal.is_absolute();

  const std::lock_guard lock(mutex_);
  if (entries_.contains(name_or_path)) return std::string(name_or_path);
  std::optional<std::string> found;
  for (const auto& [name, entry] : entries_) {
    if (is_whole ? entry.folder != end : !entry.folder.ends_with(end)) continue;
    if (found) return std::nullopt;
    found = name;
  }
  return found;
}

void AdapterStore::withdraw(const AdapterVersion& version, std::unique_ptr<const Error> refused) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(version.name());
  if (at == entries_.end() || at->second.version.get() != &version) return;
  forget_version(at->second);
  at->second.refused = std::move(refused);
}

void AdapterStore::forget_version(Entry& entry) {
  if (!entry.version) return;
  entry.version->mark_retired();
  retired_.push_back(entry.version->id());
  has_retired_.store(true, std::memory_order_release);
  entry.version.reset();
}

}  // namespace slora
