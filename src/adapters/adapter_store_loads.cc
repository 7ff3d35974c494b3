// How an AdapterStore reads adapters.
#include <algorithm>
#include <utility>

#include "adapters/adapter_store.h"
#include "base/check.h"
#include "base/log.h"

namespace slora {
namespace {

Error changed_files() { return {"E_CHANGED", "its files changed while it was read", {}}; }

// Whether a version whose files were replaced may be loaded from the new ones: nothing has been computed with it, the files were replaced
// both, so that no half of the old content is left, and its requests were read with the same text files.
bool may_take_new_files(const AdapterVersion& version, const FolderStamp& now) {
  const FolderStamp known = version.stamp();
  return !version.identity() && now.config != known.config && now.weights != known.weights && now.texts == known.texts;
}

}  // namespace

Result<std::vector<ImageLayout>> AdapterStore::load(const AdapterVersion& version, std::span<const ImagePages> pages, Gate& gate,
                                                    SharedPart shared) {
  const auto has_all = [&](ImagePages shard) { return shard.size() == version.pages_in_all(); };
  check(std::ranges::all_of(pages, has_all), "expected as many pages as the adapter has on every shard");
  Result<Loaded> loaded = try_load(version, pages, gate, shared);
  if (!loaded) return forward_error(loaded);
  if (!loaded->image) return std::move(loaded->layouts);
  if (loaded->image->try_copy_to(pages, gate, shared)) return loaded->image->layouts();
  return refuse_load(version, {"E_READ", "copying its image took too long", {}});
}

Result<std::shared_ptr<const HostImage>> AdapterStore::load_image(const AdapterVersion& version, Gate& gate, SharedPart shared) {
  Result<Loaded> loaded = try_load(version, {}, gate, shared);
  if (!loaded) return forward_error(loaded);
  return std::move(loaded->image);
}

Result<AdapterStore::Loaded> AdapterStore::try_load(const AdapterVersion& version, std::span<const ImagePages> pages, Gate& gate,
                                                    SharedPart shared) {
  constexpr int attempts_max = 3;
  if (version.shared().empty()) shared = SharedPart::leave;  // nothing, in any image
  for (int attempt = 1;; ++attempt) {
    Result<Loaded> loaded = load_once(version, pages, gate, shared);
    const bool may_succeed = !loaded && loaded.error().code == "E_CHANGED" && !version.is_retired();
    if (!may_succeed || attempt == attempts_max) return loaded;
  }
}

Result<AdapterStore::Loaded> AdapterStore::load_once(const AdapterVersion& version, std::span<const ImagePages> pages, Gate& gate,
                                                     SharedPart shared) {
  if (std::shared_ptr<const HostImage> image = host_images_.find(version.id(), shared))
    return Loaded{.layouts = {}, .image = std::move(image)};
  Result<Folder> folder = folders_.open(version.folder());
  if (!folder) return refuse_load(version, folder.error());
  const Result<FolderStamp> before = stamp_of(*folder);
  if (!before) return refuse_load(version, before.error());
  const bool takes_new_files = may_take_new_files(version, *before);
  if (*before != version.stamp() && (!takes_new_files || before->config == FileStamp() || before->weights == FileStamp())) {
    const bool is_incomplete = before->config == FileStamp() || before->weights == FileStamp();
    return refuse_load(version, is_incomplete ? Error{"E_READ", "files of its folder are missing", {}} : changed_files());
  }
  Result<PreparedAdapter> adapter = prepare_adapter(std::move(*folder), base_, gate);
  if (adapter && (adapter->size != version.size() || (takes_new_files && adapter->traits() != version.traits()))) {
    withdraw(version, nullptr);
    return refuse_load(version, changed_files());
  }
  std::shared_ptr<HostImage> image;
  if (adapter) {
    Result<std::shared_ptr<HostImage>> made = make_host_image(*adapter, shared, gate);
    if (!made) return refuse_load(version, made.error());
    image = *std::move(made);
  }
  const auto write = [&] {
    return image ? write_adapter(image->pages(), *adapter, gate, shared) : write_adapter(pages, *adapter, gate, shared);
  };
  const Result<Sha256Digest> identity = adapter ? write() : tl::unexpected(adapter.error());
  const Result<FolderStamp> after = current_stamp(folders_, version.folder());
  if (!after) return refuse_load(version, after.error());
  if (*after != *before) return refuse_load(version, changed_files());
  if (!identity) {
    if (is_transient(identity.error())) return refuse_load(version, identity.error());
    if (takes_new_files) return refuse_load(version, changed_files());  // half of a copy, perhaps: the next look decides
    Error why = adapter_refused(version.name(), identity.error());
    withdraw(version, std::make_unique<const Error>(why));
    return tl::unexpected(std::move(why));
  }
  if (!version.confirm_identity(*identity, *before)) {
    withdraw(version, nullptr);  // other content with the same stamp, which only reading reveals: the version must not be resolved again
    return refuse_load(version, changed_files());
  }
  if (takes_new_files) note_files(version, *before);
  if (image) host_images_.put(version, image);
  return Loaded{.layouts = std::move(adapter->layouts), .image = std::move(image)};
}

Result<std::shared_ptr<HostImage>> AdapterStore::make_host_image(const PreparedAdapter& adapter, SharedPart shared, Gate& gate) {
  std::vector<ImageLayout> own;
  if (shared == SharedPart::leave) own = without_shared_pages(adapter.layouts);
  const std::vector<ImageLayout>& layouts = shared == SharedPart::leave ? own : adapter.layouts;
  if (host_images_.has_area()) return host_images_.make_in_area(layouts, gate);
  return host_images_.try_make(layouts);
}

// So that the next look takes them for no change.
void AdapterStore::note_files(const AdapterVersion& version, const FolderStamp& files) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(version.name());
  if (at != entries_.end() && at->second.version.get() == &version) at->second.stamp = files;
}

tl::unexpected<Error> AdapterStore::refuse_load(const AdapterVersion& version, const Error& why) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(version.name());
  if (at != entries_.end() && (at->second.version.get() == &version || !at->second.version)) at->second.looked_at.reset();
  return tl::unexpected(is_transient(why) ? adapter_unavailable(version.name(), why) : adapter_refused(version.name(), why));
}

void AdapterStore::withdraw(const AdapterVersion& version, std::unique_ptr<const Error> refused) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(version.name());
  if (at == entries_.end() || at->second.version.get() != &version) return;
  forget_version(at->second);
  if (refused) log_warning("refused: {} ({})", refused->message, refused->code);
  at->second.refused = std::move(refused);
}

}  // namespace slora
