#include "sources/adapter_sources.h"

#include <exception>
#include <filesystem>
#include <future>
#include <utility>

#include "adapters/adapter_look.h"
#include "base/caught.h"
#include "base/log.h"
#include "formats/json.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFailuresMax = 4096, kWaitingMax = 4096;
constexpr Timestamp kNotFoundTime = std::chrono::seconds(60), kFailureTime = std::chrono::seconds(10);
constexpr Timestamp kBusyTime = std::chrono::seconds(1);  // only so long that those who waited learn why
constexpr std::size_t kReferenceBytesMax = 256;

// Not there, or refused for what it is: trying soon again would give the same.
bool is_final(const Error& why) { return why.code != "adapter_unavailable" && why.code != "E_READ" && why.code != "E_CHANGED"; }

Timestamp time_of(const Error& why) {
  if (why.code == "out_of_memory") return kBusyTime;
  return is_final(why) ? kNotFoundTime : kFailureTime;
}

tl::unexpected<Error> unavailable(const SourceRequest& request, std::string why) {
  return tl::unexpected(adapter_unavailable(request.name, {"E_READ", std::move(why), {}}));
}

// What fails for one must keep nothing from the others that wait.
void call_caught(const auto& call) {
  try {
    call();
  } catch (...) {
    log_exception("what follows the fetch of an adapter failed");
  }
}

}  // namespace

Result<std::unique_ptr<AdapterSources>> AdapterSources::create(AdapterSourceOptions options, AdapterStore& store,
                                                               std::uint32_t page_count_max, CheckTexts check_texts,
                                                               MetricsRegistry& metrics) {
  std::unique_ptr<SourceCache> cache;
  if (!options.rules.empty()) {
    Result<std::unique_ptr<SourceCache>> opened = SourceCache::open(options.cache_folder, options.cache_bytes_max);
    if (!opened) return error("E_CACHE", "--adapter-cache: {}", opened.error().message);
    cache = std::move(*opened);
  }
  return std::unique_ptr<AdapterSources>(
      new AdapterSources(std::move(options), store, page_count_max, std::move(check_texts), metrics, std::move(cache)));
}

AdapterSources::AdapterSources(AdapterSourceOptions options, AdapterStore& store, std::uint32_t page_count_max, CheckTexts check_texts,
                               MetricsRegistry& metrics, std::unique_ptr<SourceCache> cache)
    : options_(std::move(options)),
      store_(store),
      page_count_max_(page_count_max),
      check_texts_(std::move(check_texts)),
      metrics_(metrics),
      cache_(std::move(cache)),
      pool_(options_.fetches_at_once, options_.fetches_waiting_max) {
  for (const char* outcome : {"fetched", "cached", "failed"}) counter(outcome);  // shown as 0 before the first
}

AdapterSources::~AdapterSources() { stop(); }

bool AdapterSources::is_in_hub(std::string_view name) const {
  const std::optional<std::string> folder = options_.hub_folder.empty() ? std::nullopt : hub_folder_name(name);
  std::error_code ignored;
  return folder && fs::is_directory(options_.hub_folder / *folder, ignored);
}

bool AdapterSources::may_have(std::string_view name) const {
  if (!AdapterStore::is_name(name) || !is_source_name(name) || failure_of(name)) return false;
  const bool may_be_in_hub = !options_.hub_folder.empty() && hub_folder_name(name);
  return may_be_in_hub || find_source_rule(options_.rules, name) != nullptr;
}

std::optional<Error> AdapterSources::failure_of(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto at = failures_.find({.name = std::string(name)});
  if (at == failures_.end() || at->second.until <= options_.clock->now()) return std::nullopt;
  return at->second.why;
}

void AdapterSources::fetch(std::string_view name, std::function<void()> then) {
  auto take = [this, name = std::string(name)](const Result<ExaminedAdapter>& adapter) {
    if (!adapter) return;
    // Another of those that waited may have installed it already.
    const Status installed = store_.install(name, *adapter, TakenName::refuse);
    if (installed) log_info("adapter \"{}\" was fetched: {}, SHA-256 {}", name, adapter->folder.path, hex(adapter->identity));
  };
  get({.name = std::string(name)}, {std::move(take), std::move(then)});
}

void AdapterSources::get(const SourceRequest& request, Waiter waiter) {
  bool must_run = false, has_place = true;
  {
    const std::lock_guard lock(mutex_);
    std::vector<Waiter>& waiting = waiting_[request];
    must_run = waiting.empty();
    has_place = waiting.size() < kWaitingMax;
    if (has_place) waiting.push_back(std::move(waiter));
  }
  if (!has_place) {
    waiter.take(unavailable(request, "too many requests wait for it"));
    if (waiter.then) waiter.then();
    return;
  }
  if (!must_run) return;
  // Also where there is no memory to start it: nobody else would end those that wait.
  Status started = run_caught([&]() -> Status {
    if (pool_.try_run([this, request] { run(request); })) return {};
    return unavailable(request, "too many adapters wait to be fetched");
  });
  if (!started) end(request, tl::unexpected(std::move(started.error())), kBusyTime);
}

Result<ExaminedAdapter> AdapterSources::get_and_keep(const SourceRequest& request, Gate& gate) {
  std::promise<Result<ExaminedAdapter>> fetched;
  std::future<Result<ExaminedAdapter>> result = fetched.get_future();
  gate.compute([&] {
    const auto take = [this, &fetched](Result<ExaminedAdapter> adapter) {
      try {
        if (adapter) {
          const std::lock_guard lock(mutex_);
          kept_.insert(adapter->folder.path);
        }
        fetched.set_value(std::move(adapter));
      } catch (...) {  // out of memory: get() throws it where it is expected
        fetched.set_exception(std::current_exception());
      }
    };
    get(request, {take, {}});
    result.wait();
  });
  return result.get();
}

void AdapterSources::run(const SourceRequest& request) {
  Result<ExaminedAdapter> adapter = run_caught([&]() -> Result<ExaminedAdapter> {
    if (is_stopped_) return unavailable(request, "the server is shutting down");
    return bring(request);
  });
  if (!adapter) {
    call_caught([&] {
      counter("failed").add();
      if (adapter.error().code != "not_found")  // any client can ask for any name
        log_warning("adapter \"{}\" could not be fetched: {} ({})", request.name, adapter.error().message, adapter.error().code);
    });
  }
  const Timestamp time = adapter ? Timestamp(0) : time_of(adapter.error());
  end(request, std::move(adapter), time);
}

// Whoever comes from now on sees what came of it, or begins anew.
void AdapterSources::end(const SourceRequest& request, Result<ExaminedAdapter> adapter, Timestamp failure_time) {
  std::vector<Waiter> waiting;
  {
    const std::lock_guard lock(mutex_);
    failures_.erase(request);
    if (!adapter) call_caught([&] { note_failure(request, {adapter.error(), options_.clock->now() + failure_time}); });
    const auto at = waiting_.find(request);
    waiting = std::move(at->second);
    waiting_.erase(at);
  }
  // The last takes the pin too: its names, or those that it was brought for, keep the folder from now on.
  for (const Waiter& waiter : waiting) {
    const bool is_last = &waiter == &waiting.back();
    call_caught([&] { waiter.take(is_last ? std::move(adapter) : adapter); });
  }
  for (const Waiter& waiter : waiting) {
    if (waiter.then) call_caught(waiter.then);
  }
}

void AdapterSources::note_failure(const SourceRequest& request, Failure failure) {
  const Timestamp now = options_.clock->now();
  if (failures_.size() >= kFailuresMax) std::erase_if(failures_, [&](const auto& entry) { return entry.second.until <= now; });
  if (failures_.size() >= kFailuresMax) failures_.erase(failures_.begin());
  failures_.insert_or_assign(request, std::move(failure));
}

Result<ExaminedAdapter> AdapterSources::bring(const SourceRequest& request) {
  if (!is_source_name(request.name) || !is_revision(request.revision)) {
    return error("not_permitted",
                 "expected a name and a revision of letters, digits and ._/@+=- of which no part begins with '.' or '-', found {} and {}",
                 quote(request.name), quote(request.revision));
  }
  if (is_in_hub(request.name)) {
    Result<ExaminedAdapter> found = find_in_hub(request);
    if (found) counter("cached").add();
    return found;
  }
  const SourceRule* const rule = find_source_rule(options_.rules, request.name);
  if (rule == nullptr && !options_.hub_folder.empty() && hub_folder_name(request.name))
    return error("not_found", "there is no adapter {} in the cache of the hub (--hub-cache)", quote(request.name));
  if (rule == nullptr) return error("not_permitted", "no --adapter-source has a prefix of {}", quote(request.name));
  Result<std::optional<ExaminedAdapter>> cached = find_in_cache(request);
  if (!cached) return forward_error(cached);
  if (*cached) {
    counter("cached").add();
    return **std::move(cached);
  }
  Result<ExaminedAdapter> fetched = run_program(*rule, request);
  if (fetched) counter("fetched").add();
  return fetched;
}

// refs/REVISION has the name of a snapshot; a revision may be such a name itself.
Result<ExaminedAdapter> AdapterSources::find_in_hub(const SourceRequest& request) {
  const std::string model = *hub_folder_name(request.name);
  const fs::path folder = options_.hub_folder / model;
  const Result<std::string> reference = read_text_file((folder / "refs" / request.revision).string(), kReferenceBytesMax);
  std::string snapshot = reference ? *reference : request.revision;
  while (snapshot.ends_with('\n')) snapshot.pop_back();
  if (!is_revision(snapshot)) return error("not_found", "refs/{} of {}: expected the name of a snapshot", request.revision, model);
  std::error_code ignored;
  if (!fs::is_directory(folder / "snapshots" / snapshot, ignored)) {
    return error("not_found", "the cache of the hub has no revision {} of {}", quote(request.revision), quote(request.name));
  }
  // Files of a snapshot are links to blobs next to it.
  return examine(FolderPath::beneath(fs::absolute(options_.hub_folder).lexically_normal().string(), model + "/snapshots/" + snapshot));
}

// A folder that cannot be read at this moment stays: names may mean it, and the next look may succeed.
Result<std::optional<ExaminedAdapter>> AdapterSources::find_in_cache(const SourceRequest& request) {
  const std::string key = SourceCache::key_of(request.name, request.revision);
  std::string identity, root, path;
  std::shared_ptr<const void> pin;
  {
    const std::lock_guard lock(cache_mutex_);
    const SourceCache::Entry* const entry = cache_->find(key);
    if (entry == nullptr) return std::nullopt;
    identity = entry->identity;
    root = cache_->folder();
    path = cache_->path_of(key);
    pin = pin_of(path);
  }
  Result<ExaminedAdapter> adapter = examine(FolderPath::beneath(root, key));
  if (adapter && hex(adapter->identity) == identity) {
    adapter->pin = std::move(pin);
    return std::move(*adapter);
  }
  if (!adapter && !is_final(adapter.error())) return unavailable(request, adapter.error().message);
  const std::lock_guard lock(cache_mutex_);
  pin.reset();
  if (!let_go(path)) return unavailable(request, "its folder in the cache is not what was fetched, and a loaded adapter uses it");
  log_warning("the cache's folder of adapter \"{}\" is not what was fetched; it is fetched again", request.name);
  cache_->remove(key);
  return std::nullopt;
}

Result<ExaminedAdapter> AdapterSources::run_program(const SourceRule& rule, const SourceRequest& request) {
  std::string root;
  std::optional<TemporaryFolder> folder;
  {
    const std::lock_guard lock(cache_mutex_);
    root = cache_->folder();
    Result<TemporaryFolder> made = cache_->make_folder();
    if (!made) return unavailable(request, made.error().message);
    folder.emplace(std::move(*made));
  }
  log_info("adapter \"{}\" is being fetched by {}", request.name, rule.program);
  const FetchCall call{rule.program, request.name, request.revision, folder->path(), options_.environment};
  if (Status done = run_fetch_program(call, options_.limits, [this] { return is_stopped_.load(); }); !done) {
    log_warning("adapter \"{}\": {}", request.name, done.error().message);
    // What the program printed is for the operator only.
    if (done.error().code == "not_found") return error("not_found", "there is no adapter {}", quote(request.name));
    if (done.error().code == "E_TOO_LARGE") return forward_error(done);
    return unavailable(request, "fetching it failed");
  }
  const std::string name = fs::path(folder->path()).filename().string();
  Result<ExaminedAdapter> adapter = examine(FolderPath::beneath(root, name));
  if (!adapter) return adapter;
  const std::string key = SourceCache::key_of(request.name, request.revision);
  const SourceCache::Entry entry{request.name, request.revision, hex(adapter->identity),
                                 folder_bytes(folder->path(), options_.limits.bytes_max)};
  const std::lock_guard lock(cache_mutex_);
  const Status added = cache_->add(key, *folder, entry, [this](const std::string& path) { return let_go(path); });
  if (!added) return unavailable(request, added.error().message);
  adapter->folder = FolderPath::beneath(root, key);  // its files' stamps are the same
  adapter->pin = pin_of(cache_->path_of(key));
  return adapter;
}

Result<ExaminedAdapter> AdapterSources::examine(const FolderPath& folder) {
  Gate gate;
  Result<ExaminedAdapter> adapter = store_.examine(folder, page_count_max_, gate);
  if (!adapter) return adapter;
  if (Status texts = check_texts_(adapter->folder, adapter->traits.added_tokens, gate); !texts) return forward_error(texts);
  return adapter;
}

std::shared_ptr<const void> AdapterSources::pin_of(const std::string& path) {
  std::erase_if(pins_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<const void>& pinned = pins_[path];
  std::shared_ptr<const void> pin = pinned.lock();
  if (pin == nullptr) pinned = pin = std::make_shared<const char>('\0');
  return pin;
}

// A name that was fetched is forgotten with its folder, and is fetched again when it is asked for; its image serves those who run. What is
// about to get a name stays: the name would have no folder, and nobody would fetch it again.
bool AdapterSources::let_go(const std::string& path) {
  if (const auto at = pins_.find(path); at != pins_.end() && !at->second.expired()) return false;
  {
    const std::lock_guard lock(mutex_);
    if (kept_.contains(path) && store_.has_folder(path)) return false;
    kept_.erase(path);
  }
  store_.remove_names_of(path);
  return true;
}

Counter& AdapterSources::counter(const char* outcome) {
  return metrics_.counter("slora_adapter_fetches_total", "Adapters wanted from --adapter-source or --hub-cache, by what came of it.",
                          {{"outcome", outcome}});
}

}  // namespace slora
