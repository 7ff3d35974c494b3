#include "adapters/adapter_store.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include "adapters/adapter_roots.h"
#include "base/check.h"
#include "base/log.h"

namespace slora {
namespace {

constexpr std::size_t kNameBytesMax = 128;
// Of looks at folders, which read little: two of a device or root at once, and up to 16 devices or roots that hang.
constexpr WorkLaneLimits kLookLimits{.threads_per_lane = 2, .threads_max = 32, .waiting_max = std::size_t{1} << 20};

bool is_alphanumeric(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// What loads of a device and of a root read at once, of a common size.
std::uint64_t staging_bytes(const AdapterBase& base) {
  constexpr std::uint64_t kImages = 4, kRank = 64, kBytesMax = std::uint64_t{1} << 30;
  std::uint64_t elements = 0;
  for (const ModuleEntry& module : base.modules.modules) elements += kRank * static_cast<std::uint64_t>(module.in + module.out);
  return std::clamp<std::uint64_t>(kImages * elements * bytes_of(base.format.dtype), kImages * base.page_bytes, kBytesMax);
}

HostImages make_host_images(const AdapterBase& base, const AdapterStoreOptions& options) {
  if (!options.allocate_host) return HostImages(options.host_bytes_max);
  const bool keeps = options.host_bytes_max > 0;
  return HostImages({options.allocate_host, keeps ? options.host_bytes_max : staging_bytes(base), base.page_bytes},
                    keeps ? HostImages::Keep::used_last : HostImages::Keep::none);
}

tl::unexpected<Error> refuse_taken(std::string_view name) { return error("name_taken", "there is an adapter \"{}\" already", name); }

}  // namespace

AdapterStore::AdapterStore(AdapterBase base, AdapterStoreOptions options, const FolderSource& folders)
    : base_(std::move(base)),
      options_(options),
      folders_(folders),
      host_images_(make_host_images(base_, options)),
      lanes_(kLookLimits),
      watcher_([this](const std::stop_token& stop) { watch(stop); }) {}

AdapterStore::~AdapterStore() {
  watcher_.request_stop();
  woken_.notify_all();
  watcher_.join();
}

bool AdapterStore::is_name(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax || !is_alphanumeric(name.front())) return false;
  for (const std::string_view refused : {"..", "/.", "/-"}) {
    if (name.find(refused) != std::string_view::npos) return false;
  }
  return std::ranges::all_of(name, [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '/' || c == '-'; });
}

Status AdapterStore::check_name(std::string_view name) {
  if (is_name(name)) return {};
  return error(
      "bad_name",
      "an adapter's name begins with a letter or digit and has at most {} letters, digits, '.', '_', '/' and '-', but no \"..\", and "
      "no '.' or '-' after a '/'",
      kNameBytesMax);
}

Status AdapterStore::add_folder(std::string_view name, const FolderPath& folder) {
  if (Status usable = check_name(name); !usable) return usable;
  const bool is_added = add(name, folder, TakenName::replace);
  check(is_added, "expected TakenName::replace to replace");
  return {};
}

Status AdapterStore::add_new_folder(std::string_view name, const FolderPath& folder) {
  if (Status usable = check_name(name); !usable) return usable;
  if (add(name, folder, TakenName::refuse)) return {};
  return refuse_taken(name);
}

Result<std::int32_t> AdapterStore::add_root(const std::string& root) {
  const Result<std::vector<FolderPath>> folders = adapter_folders_of(root);
  if (!folders) return tl::unexpected(folders.error());
  std::int32_t added_count = 0;
  for (const FolderPath& folder : *folders) {
    const Status added = add_new_folder(std::filesystem::path(folder.path).filename().string(), folder);
    if (!added) log_warning("refused: folder {} is left out: {} ({})", folder.path, added.error().message, added.error().code);
    if (!added) note_left_out(folder.path);
    added_count += added ? 1 : 0;
  }
  return added_count;
}

bool AdapterStore::add(std::string_view name, const FolderPath& folder, TakenName taken) {
  const Timestamp begun = clock_.now();
  const Result<Folder> opened = folders_.open(folder);
  Entry entry;
  const Result<AdapterConfig> config = opened ? peek(entry, *opened) : tl::unexpected(opened.error());
  entry.folder = folder;
  if (opened) entry.stamp = stamp_of(*opened).value_or(FolderStamp());
  if (config) {
    entry.base_model_name = config->base_model_name;
    entry.rank = config->r;
  } else if (is_transient(config.error())) {
    entry.unavailable = std::make_unique<const Error>(adapter_unavailable(name, config.error()));
  } else {
    entry.refused = std::make_unique<const Error>(adapter_refused(name, config.error()));
    entry.looked_at = begun;
  }

  const std::lock_guard lock(mutex_);
  if (taken == TakenName::refuse && entries_.contains(name)) return false;
  if (entry.refused) log_warning("refused: {} ({})", entry.refused->message, entry.refused->code);
  if (entry.unavailable) log_warning("{}", entry.unavailable->message);
  put(name, std::move(entry));
  return true;
}

Result<AdapterConfig> AdapterStore::peek(Entry& entry, const Folder& folder) const {
  Result<AdapterConfig> config = peek_adapter_config(folder);
  if (!config) return config;
  const Result<std::optional<ContextExtension>> extension =
      find_context_extension(folder, *config, base_.modules, base_.extended_positions_max);
  if (!extension) return tl::unexpected(extension.error());
  if (*extension) entry.context_tokens_max = (*extension)->tokens_max;
  return config;
}

Result<ExaminedAdapter> AdapterStore::examine(const FolderPath& path, std::uint32_t page_count_max) const {
  Gate gate;
  return examine(path, page_count_max, gate);
}

Result<ExaminedAdapter> AdapterStore::examine(const FolderPath& path, std::uint32_t page_count_max, Gate& gate) const {
  Result<Folder> folder = folders_.open(path);
  if (!folder) return forward_error(folder);
  const Result<FolderStamp> stamp = stamp_of(*folder);
  if (!stamp) return tl::unexpected(stamp.error());
  const Result<PreparedAdapter> prepared = prepare_adapter(std::move(*folder), base_, gate);
  if (!prepared) return tl::unexpected(prepared.error());
  const std::uint32_t page_count = prepared->size.pages_in_all();
  if (page_count > page_count_max) {
    return error("E_TOO_LARGE", "its image takes {} pages, and the pool has {} for it; the server needs more --pool-memory", page_count,
                 page_count_max);
  }
  const Result<Sha256Digest> identity = verify_adapter(*prepared, gate);
  const Result<FolderStamp> now = current_stamp(folders_, path);
  if (!now || *now != *stamp) return error("E_CHANGED", "its files changed while they were read; try again");
  if (!identity) return tl::unexpected(identity.error());
  const AdapterConfig& config = prepared->folder.config;
  return ExaminedAdapter{path, *stamp, config.base_model_name, config.r, prepared->size, prepared->traits(), *identity, prepared->warnings,
                         {}};
}

Status AdapterStore::install(std::string_view name, const ExaminedAdapter& adapter, TakenName taken) {
  if (Status usable = check_name(name); !usable) return usable;
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at != entries_.end() && taken == TakenName::refuse) return refuse_taken(name);
  const bool is_the_same = at != entries_.end() && at->second.folder == adapter.folder && at->second.stamp == adapter.stamp;
  if (is_the_same && at->second.version) return {};  // its image stays valid
  Entry entry;
  entry.looked_at = clock_.now();
  entry.folder = adapter.folder;
  entry.stamp = adapter.stamp;
  entry.base_model_name = adapter.base_model_name;
  entry.rank = adapter.rank;
  entry.context_tokens_max = adapter.traits.context_tokens_max;
  Entry& place = put(name, std::move(entry));
  make_version(name, place, adapter.size, adapter.traits);
  const bool is_first = place.version->confirm_identity(adapter.identity, adapter.stamp);
  check(is_first, "expected a new version to have no identity yet");
  for (const std::string& warning : adapter.warnings) log_warning("adapter \"{}\": {}", name, warning);
  return {};
}

AdapterStore::Entry& AdapterStore::put(std::string_view name, Entry entry) {
  const auto counted = name_counts_.try_emplace(entry.folder.path).first;
  Entry& place = entries_[std::string(name)];
  forget_version(place);
  entry.registration = ++registration_count_;
  entry.generation = place.generation;
  entry.account = place.account ? place.account : std::make_shared<AdapterAccount>(total_);
  release_waiters(name);
  left_out_.erase(entry.folder.path);
  ++counted->second;
  forget_folder(place);
  return place = std::move(entry);
}

void AdapterStore::forget_folder(const Entry& entry) {
  const auto counted = name_counts_.find(entry.folder.path);
  if (entry.registration > 0 && --counted->second == 0) name_counts_.erase(counted);
}

void AdapterStore::erase(Entries::iterator at) {
  forget_version(at->second);
  forget_folder(at->second);
  release_waiters(at->first);
  entries_.erase(at);
}

void AdapterStore::make_version(std::string_view name, Entry& entry, const ImageSize& size, AdapterTraits traits) {
  AdapterVersion::Origin origin{std::string(name), entry.folder, ++entry.generation, entry.stamp, std::move(traits), entry.account};
  const auto next_id = [this] { return AdapterId{++version_count_}; };
  std::shared_ptr<const SharedImage> shared = shared_images_.find_or_make(size, next_id);
  entry.version = std::make_shared<const AdapterVersion>(next_id(), std::move(origin), size, std::move(shared));
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
  if (at == entries_.end() || at->second.folder.path != folder) return false;
  erase(at);
  return true;
}

bool AdapterStore::has_name(std::string_view folder) const {
  const auto counted = name_counts_.find(folder);
  return counted != name_counts_.end() && counted->second > 0;
}

bool AdapterStore::has_folder(std::string_view path) const {
  const std::lock_guard lock(mutex_);
  return has_name(path);
}

void AdapterStore::remove_names_of(std::string_view path) {
  const std::lock_guard lock(mutex_);
  if (!has_name(path)) return;
  for (auto at = entries_.begin(); at != entries_.end();) {
    const auto next = std::next(at);
    if (at->second.folder.path == path) erase(at);
    at = next;
  }
}

void AdapterStore::note_left_out(const std::string& folder) {
  const std::lock_guard lock(mutex_);
  if (!has_name(folder)) left_out_.insert(folder);
}

void AdapterStore::forget_left_out(const std::string& folder) {
  const std::lock_guard lock(mutex_);
  left_out_.erase(folder);
}

std::vector<AdapterId> AdapterStore::take_retired() {
  if (!has_retired_.load(std::memory_order_acquire)) return {};
  const std::lock_guard lock(mutex_);
  has_retired_.store(false, std::memory_order_relaxed);
  return std::exchange(retired_, {});
}

std::optional<AdapterListing> AdapterStore::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (at == entries_.end()) return std::nullopt;
  return listing_of(at->first, at->second);
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
    if (is_whole ? entry.folder.path != end : !entry.folder.path.ends_with(end)) continue;
    if (found) return std::nullopt;
    found = name;
  }
  return found;
}

AdapterStore::Found AdapterStore::find_blend(std::span<const WeightedAdapter> names) {
  check(!names.empty(), "expected adapters to blend");
  const std::lock_guard lock(mutex_);
  std::vector<BlendComponent> components;
  for (const WeightedAdapter& wanted : names) {
    const auto at = entries_.find(wanted.name);
    if (at == entries_.end()) return error("not_found", "there is no adapter \"{}\"", wanted.name);
    Found version = version_of(at->first, at->second);
    if (!version) return version;
    components.push_back({std::move(*version), wanted.weight});
  }
  if (components.size() == 1 && components.front().weight == 1) return components.front().version;
  if (Status fits = check_blend(components); !fits) return forward_error(fits);
  return blends_.find_or_make(std::move(components), [this] { return AdapterId{++version_count_}; });
}

Status AdapterStore::check_blend(std::span<const BlendComponent> components) const {
  std::int32_t z_cols = 0;
  for (const BlendComponent& component : components) {
    const AdapterTraits& traits = component.version->traits();
    const std::string_view name = component.version->name();
    if (traits.changes_base) {
      return error("E_BLEND",
                   "adapter \"{}\" multiplies or replaces what the base computes, which cannot be weighted: it cannot be part of a blend",
                   name);
    }
    if (!traits.invocation_tokens.empty())
      return error("E_BLEND", "adapter \"{}\" acts from its invocation tokens on only, and cannot be part of a blend", name);
    if (traits.rope != components.front().version->traits().rope) {
      return error("E_BLEND", "adapters \"{}\" and \"{}\" have different RoPE factors, and cannot be parts of one blend",
                   components.front().version->name(), name);
    }
    z_cols += traits.z_cols;
  }
  if (z_cols <= kBlendZColsMax) return {};
  return error("E_BLEND", "expected adapters whose ranks add up to at most {} over the modules of one product, found {}", kBlendZColsMax,
               z_cols);
}

void AdapterStore::forget_version(Entry& entry) {
  if (!entry.version) return;
  std::vector<std::shared_ptr<const AdapterVersion>> blends;
  blends_.forget(*entry.version, blends);
  for (const auto& blend : blends) retire(*blend);
  retire(*entry.version);
  entry.version.reset();
}

void AdapterStore::retire(const AdapterVersion& version) {
  version.mark_retired();
  host_images_.forget(version.id());
  retired_.push_back(version.id());
  has_retired_.store(true, std::memory_order_release);
}

}  // namespace slora
