#include "adapters/adapter_store.h"

#include <algorithm>
#include <filesystem>
#include <utility>

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

// A disk's fault says nothing about the adapter, so it is no reason to refuse it from then on.
bool may_pass(const Error& why) { return why.code == "E_READ"; }

// The folders to add, sorted; `root` itself when it is an adapter.
Result<std::vector<std::filesystem::path>> adapter_folders_of(const std::string& root) {
  std::error_code failed;
  std::filesystem::path top = std::filesystem::absolute(root, failed).lexically_normal();
  if (!top.has_filename()) top = top.parent_path();  // "adapters/" as "adapters"
  if (is_adapter_folder(top.string())) return std::vector{top};
  std::vector<std::filesystem::path> folders;
  for (std::filesystem::directory_iterator at(top, failed), end; !failed && at != end; at.increment(failed)) {
    if (is_adapter_folder(at->path().string())) folders.push_back(at->path());
  }
  if (failed) return error("bad_folder", "{}: can't be listed: {}", root, failed.message());
  std::ranges::sort(folders);
  return folders;
}

}  // namespace

AdapterStore::AdapterStore(AdapterBase base) : base_(std::move(base)) {}

bool AdapterStore::is_name(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax || !is_alphanumeric(name.front()) || name.find("..") != std::string_view::npos)
    return false;
  return std::ranges::all_of(name, [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '/' || c == '-'; });
}

Status AdapterStore::add_folder(std::string_view name, const std::string& folder) {
  if (!is_name(name)) {
    return error("bad_name",
                 "an adapter's name begins with a letter or digit and has at most {} letters, digits, '.', '_', '/' and '-', but no \"..\"",
                 kNameBytesMax);
  }
  add(std::string(name), folder);
  return {};
}

Result<std::int32_t> AdapterStore::add_root(const std::string& root) {
  const Result<std::vector<std::filesystem::path>> folders = adapter_folders_of(root);
  if (!folders) return tl::unexpected(folders.error());
  std::int32_t added = 0;
  for (const std::filesystem::path& folder : *folders) {
    const std::string name = folder.filename().string();
    const auto is_taken = [&] {
      const std::lock_guard lock(mutex_);
      return entries_.contains(name);
    };
    if (!is_name(name)) {
      log_warning("folder {} holds an adapter, but its name can't be an adapter's; left out", folder.string());
    } else if (is_taken()) {
      log_warning("folder {} is left out: adapter \"{}\" is there already", folder.string(), name);
    } else {
      add(name, folder.string());
      ++added;
    }
  }
  return added;
}

void AdapterStore::add(std::string name, std::string folder) {
  Entry entry;
  entry.stamp = stamp_of(folder);
  const Result<AdapterConfig> config = glance_at_adapter_folder(folder);
  entry.folder = std::move(folder);
  if (config) {
    entry.base_model_name = config->base_model_name;
    entry.rank = config->r;
  } else {
    const Error why = refuse(name, config.error()).value();
    log_warning("refused: {} ({})", why.message, why.code);
    if (!may_pass(why)) entry.refused = std::make_unique<const Error>(why);
  }

  const std::lock_guard lock(mutex_);
  Entry& place = entries_[std::move(name)];
  forget_version(place);
  entry.registration = ++registration_count_;
  entry.generation = place.generation;
  place = std::move(entry);
}

bool AdapterStore::remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at == entries_.end()) return false;
  forget_version(at->second);
  entries_.erase(at);
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

// Makes what was found out about a folder the meaning of the name, unless the name was given away or another thread was faster.
std::optional<AdapterStore::Found> AdapterStore::settle(std::string_view name, std::uint64_t registration, const FolderStamp& stamp,
                                                        const Result<PreparedAdapter>& prepared) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at == entries_.end() || at->second.registration != registration) return std::nullopt;
  Entry& entry = at->second;
  if (std::optional<Found> found = known(entry, stamp)) return found;
  if (!prepared && may_pass(prepared.error())) return Found(refuse(name, prepared.error()));

  forget_version(entry);
  entry.stamp = stamp;
  if (prepared) {
    entry.version = std::make_shared<const AdapterVersion>(
        AdapterId{++version_count_}, AdapterVersion::Origin{std::string(name), entry.folder, ++entry.generation, stamp},
        prepared->layout.page_count);
    entry.refused.reset();
    for (const std::string& warning : prepared->warnings) log_warning("adapter \"{}\": {}", name, warning);
  } else {
    entry.refused = std::make_unique<const Error>(refuse(name, prepared.error()).value());
    log_warning("refused: {} ({})", entry.refused->message, entry.refused->code);
  }
  return known(entry, stamp);
}

Result<ImageLayout> AdapterStore::load(const AdapterVersion& version, std::span<std::byte* const> pages) {
  check(pages.size() == version.page_count(), "as many pages as the adapter's image has");
  if (stamp_of(version.folder()) != version.stamp()) return refuse_changed(version.name());
  Result<PreparedAdapter> adapter = prepare_adapter(version.folder(), base_);
  if (adapter && adapter->layout.page_count != version.page_count()) {
    withdraw(version, nullptr);
    return refuse_changed(version.name());
  }
  const Result<Sha256Digest> identity = adapter ? write_adapter(pages, version.folder(), *adapter) : tl::unexpected(adapter.error());
  if (stamp_of(version.folder()) != version.stamp()) return refuse_changed(version.name());
  if (!identity) {
    const Error why = refuse(version.name(), identity.error()).value();
    if (!may_pass(why)) withdraw(version, std::make_unique<const Error>(why));
    return tl::unexpected(why);
  }
  if (version.confirm_identity(*identity)) return std::move(adapter->layout);
  withdraw(version, nullptr);  // other content behind the same stamp: only reading can tell, so nobody may find this version again
  return refuse_changed(version.name());
}

std::vector<AdapterId> AdapterStore::take_retired() {
  const std::lock_guard lock(mutex_);
  return std::exchange(retired_, {});
}

std::vector<AdapterListing> AdapterStore::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<AdapterListing> listings;
  listings.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) {
    listings.push_back(
        {name, entry.folder, entry.refused ? std::optional(*entry.refused) : std::nullopt, entry.base_model_name, entry.rank});
  }
  return listings;
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
  entry.version.reset();
}

}  // namespace slora
