#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adapters/adapter_store.h"
#include "adapters/adapter_watcher.h"
#include "http/answer_pool.h"
#include "http/small_body.h"
#include "http/types.h"

namespace slora {

struct AdapterApiOptions {
  std::vector<std::string> base_names;     // which no adapter may take
  std::vector<std::string> roots;          // the folders in which a client may name paths
  std::uint32_t page_count_max = 0;        // of one adapter
  std::chrono::seconds watch_interval{0};  // how often the roots are scanned; 0: never
};

// The endpoints that load and unload adapters, in vLLM's form and in SGLang's, and the periodic scan of the folders. All changes are made
// one after the other on a worker thread of its own; generation continues meanwhile. Everything else happens on the I/O thread.
class AdapterRoutes {
 public:
  using PostAfter = std::function<void(std::chrono::milliseconds, std::function<void()>)>;

  // What it borrows outlives it. `post_after` runs work on the I/O thread after a delay.
  AdapterRoutes(AdapterStore& store, AdapterApiOptions options, AnswerPool::Post post, PostAfter post_after);

  void load(const std::shared_ptr<Exchange>& exchange);
  void unload(const std::shared_ptr<Exchange>& exchange);
  void load_as_sglang(const std::shared_ptr<Exchange>& exchange);
  void unload_as_sglang(const std::shared_ptr<Exchange>& exchange);

  [[nodiscard]] static std::span<const SmallField> load_fields();
  [[nodiscard]] static std::span<const SmallField> unload_fields();
  [[nodiscard]] static std::span<const SmallField> sglang_load_fields();
  [[nodiscard]] static std::span<const SmallField> sglang_unload_fields();

 private:
  // The name that was loaded or unloaded. On the pool's thread.
  [[nodiscard]] Result<std::string> load_now(std::span<const SmallField> fields, std::string_view body);
  [[nodiscard]] Result<std::string> unload_now(std::span<const SmallField> fields, std::string_view body);
  [[nodiscard]] Status check_name(const std::string& name, TakenName taken) const;
  [[nodiscard]] HttpResponse sglang_answer(const Result<std::string>& name) const;
  void watch();

  AdapterStore& store_;
  const AdapterApiOptions options_;
  const PostAfter post_after_;
  AdapterWatcher watcher_;  // of the pool's thread
  AnswerPool pool_;         // last: its work uses the members above
};

}  // namespace slora
