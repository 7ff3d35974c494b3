#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/adapter_store.h"
#include "base/clock.h"
#include "base/gate.h"
#include "base/result.h"
#include "base/work_pool.h"
#include "metrics/metrics.h"
#include "sources/fetch_program.h"
#include "sources/source_cache.h"
#include "sources/source_name.h"

namespace slora {

struct AdapterSourceOptions {
  std::vector<SourceRule> rules;       // --adapter-source
  std::filesystem::path hub_folder;    // --hub-cache; empty: none
  std::filesystem::path cache_folder;  // --adapter-cache: of what programs fetch
  std::uint64_t cache_bytes_max = 10ULL << 30;
  FetchLimits limits;
  std::vector<std::string> environment;  // of the programs: NAME=VALUE
  std::size_t fetches_at_once = 4;
  std::size_t fetches_waiting_max = 64;
  std::shared_ptr<const Clock> clock = std::make_shared<const SteadyClock>();  // by which failures are forgotten

  [[nodiscard]] bool has_any() const { return !rules.empty() || !hub_folder.empty(); }
};

// An adapter that is wanted from elsewhere.
struct SourceRequest {
  std::string name;  // or an address
  std::string revision = "main";
  auto operator<=>(const SourceRequest&) const = default;
};

// Adapters that are not in the server's folders, by name: folders of a Hugging Face cache, and what the operator's programs fetch into a
// cache of this server. One fetch serves all that wait for the same adapter; who wants another one does not wait for it, up to
// `fetches_at_once`. What comes is checked as any folder, and what failed is not tried again for a while. Any thread.
class AdapterSources {
 public:
  // Refuses an adapter whose text files cannot be served.
  using CheckTexts = std::function<Status(const FolderPath&, std::int32_t added_tokens, Gate&)>;

  // "E_CACHE" when there are rules and their cache can't be used. `store` and `metrics` outlive it.
  [[nodiscard]] static Result<std::unique_ptr<AdapterSources>> create(AdapterSourceOptions options, AdapterStore& store,
                                                                      std::uint32_t page_count_max, CheckTexts check_texts,
                                                                      MetricsRegistry& metrics);
  ~AdapterSources();
  AdapterSources(const AdapterSources&) = delete;
  AdapterSources& operator=(const AdapterSources&) = delete;

  // Whether an unknown adapter of this name may be had from here and has not failed of late.
  [[nodiscard]] bool may_have(std::string_view name) const;
  // Why it could not be had when it was tried last; nothing when it may be tried.
  [[nodiscard]] std::optional<Error> failure_of(std::string_view name) const;
  // Fetches it and registers it under its name; then calls `then`, on another thread or, when too much waits, at once.
  void fetch(std::string_view name, std::function<void()> then);

  // The folder of an adapter, for whoever gives it a name, which must happen while the result exists: its `pin` keeps the folder in the
  // cache, as a name does afterwards. Waits for it. With "not_permitted" for a name that no rule has, "not_found", "adapter_unavailable"
  // when fetching fails or too much waits, and why the adapter is refused.
  [[nodiscard]] Result<ExaminedAdapter> get_and_keep(const SourceRequest& request, Gate& gate);

  // Ends the programs that run, and starts no more.
  void stop() { is_stopped_ = true; }

 private:
  struct Failure {
    Error why;
    Timestamp until{};
  };
  // Of one fetch. Both are called once.
  struct Waiter {
    std::function<void(Result<ExaminedAdapter>)> take;  // gives it a name while its folder is pinned
    std::function<void()> then;                         // may be empty
  };

  AdapterSources(AdapterSourceOptions options, AdapterStore& store, std::uint32_t page_count_max, CheckTexts check_texts,
                 MetricsRegistry& metrics, std::unique_ptr<SourceCache> cache);

  void get(const SourceRequest& request, Waiter waiter);
  void run(const SourceRequest& request);
  // `failure_time`: how long a failure is known; until then nothing tries again.
  void end(const SourceRequest& request, Result<ExaminedAdapter> adapter, Timestamp failure_time);
  void note_failure(const SourceRequest& request, Failure failure);  // requires: mutex_ is held
  // On the threads that fetch.
  [[nodiscard]] Result<ExaminedAdapter> bring(const SourceRequest& request);
  [[nodiscard]] Result<ExaminedAdapter> find_in_hub(const SourceRequest& request);
  // Nothing when it must be fetched.
  [[nodiscard]] Result<std::optional<ExaminedAdapter>> find_in_cache(const SourceRequest& request);
  [[nodiscard]] Result<ExaminedAdapter> run_program(const SourceRule& rule, const SourceRequest& request);
  [[nodiscard]] Result<ExaminedAdapter> examine(const FolderPath& folder);
  [[nodiscard]] bool is_in_hub(std::string_view name) const;
  // Require: cache_mutex_ is held.
  [[nodiscard]] std::shared_ptr<const void> pin_of(const std::string& path);
  [[nodiscard]] bool let_go(const std::string& path);
  Counter& counter(const char* outcome);

  const AdapterSourceOptions options_;
  AdapterStore& store_;
  const std::uint32_t page_count_max_;
  const CheckTexts check_texts_;
  MetricsRegistry& metrics_;
  std::atomic<bool> is_stopped_{false};
  mutable std::mutex mutex_;
  std::map<SourceRequest, std::vector<Waiter>> waiting_;  // guarded by mutex_, as what follows; whom each fetch is for
  std::map<SourceRequest, Failure> failures_;
  std::set<std::string> kept_;          // paths in the cache
  std::mutex cache_mutex_;              // taken alone, or before the store's
  std::unique_ptr<SourceCache> cache_;  // guarded by cache_mutex_; null without rules
  // By path: see ExaminedAdapter::pin. Guarded by cache_mutex_.
  std::map<std::string, std::weak_ptr<const void>> pins_;
  WorkPool pool_;  // last: its jobs use the members above
};

}  // namespace slora
