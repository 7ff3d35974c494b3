#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adapters/adapter_store.h"
#include "base/work_pool.h"
#include "formats/folder.h"
#include "http/adapter_loads.h"
#include "http/adapter_scans.h"
#include "http/answer_pool.h"
#include "http/small_body.h"
#include "http/types.h"
#include "sources/adapter_sources.h"
#include "sources/pushed_adapters.h"

namespace slora {

// Starts to change whether the adapter of this name is pinned, or lets the engine look at its idle time. `on_done` is called once, on any
// thread.
using ChangePin = std::function<void(std::string name, std::function<void(Status)> on_done)>;

struct AdapterApiOptions {
  std::vector<std::string> base_names;     // which no adapter may take
  std::vector<std::string> roots;          // the folders in which a client may name paths
  std::uint32_t page_count_max = 0;        // of one adapter
  std::chrono::seconds watch_interval{0};  // how often the roots are scanned; 0: never
  // Refuses an adapter whose text files cannot be served; passes the gate as it goes on.
  std::function<Status(const FolderPath&, std::int32_t added_tokens, Gate&)> check_texts = [](const FolderPath&, std::int32_t, Gate&) {
    return Status{};
  };
  ChangePin pin, unpin, note_idle_time;      // of the engine
  AdapterSources* sources = nullptr;         // of adapters that are named by an address; null: none
  std::uint64_t push_bytes_max = 256 << 20;  // of all adapters whose tensors came in a body
  AdapterLoadLimits loads;
  const FolderSource& folders = system_folders();  // in which the clients' paths are looked up and the roots are scanned
};

// The endpoints that load and unload adapters, in vLLM's form and in SGLang's, and the periodic scans of the folders. Folders are read on
// worker threads, those of AdapterLoads and of AdapterScans, so that a folder that hangs holds up neither other loads nor unloading nor
// generation. Pins, which look at a folder first, and unpins, which look at none, have a thread each. Everything else happens on the I/O
// thread.
class AdapterRoutes {
 public:
  using PostAfter = std::function<void(std::chrono::milliseconds, std::function<void()>)>;

  // What it borrows outlives it. `post_after` runs work on the I/O thread after a delay.
  AdapterRoutes(AdapterStore& store, AdapterApiOptions options, AnswerPool::Post post, PostAfter post_after);

  void load(const std::shared_ptr<Exchange>& exchange);
  void unload(const std::shared_ptr<Exchange>& exchange);
  void load_as_sglang(const std::shared_ptr<Exchange>& exchange);
  void unload_as_sglang(const std::shared_ptr<Exchange>& exchange);
  void pin(const std::shared_ptr<Exchange>& exchange);
  void unpin(const std::shared_ptr<Exchange>& exchange);
  // Gives the name that the rest of the path has the tensors in the body. Answers when the next request has them.
  void push(const std::shared_ptr<Exchange>& exchange);
  // Changes how the adapter that the rest of the path names is kept in the pool.
  void change(const std::shared_ptr<Exchange>& exchange);

  // Whether a folder is being read, which may take for ever. Any thread.
  [[nodiscard]] bool is_reading() { return scans_.is_reading() || loads_.is_reading(); }

  [[nodiscard]] static std::span<const SmallField> load_fields();
  [[nodiscard]] static std::span<const SmallField> unload_fields();
  [[nodiscard]] static std::span<const SmallField> pin_fields();
  [[nodiscard]] static std::span<const SmallField> change_fields();
  [[nodiscard]] static std::span<const SmallField> sglang_load_fields();
  [[nodiscard]] static std::span<const SmallField> sglang_unload_fields();

 private:
  // What a client wants to load.
  struct Wanted {
    std::string name, path;
    TakenName taken = TakenName::refuse;
    bool is_pinned = false;
    std::optional<Timestamp> idle_time = {};
    std::string revision, sha256;  // empty: any
  };
  using LoadAnswer = std::function<HttpResponse(const Result<std::string>& name)>;

  void answer_load(const std::shared_ptr<Exchange>& exchange, std::span<const SmallField> fields, LoadAnswer answer);
  // On the thread of bodies_.
  [[nodiscard]] Result<Wanted> read_wanted(std::span<const SmallField> fields, std::string_view body) const;
  // On a thread of loads_.
  [[nodiscard]] Result<ExaminedAdapter> read_wanted_adapter(const Wanted& wanted, Gate& gate) const;
  [[nodiscard]] Result<ExaminedAdapter> read_address(const Wanted& wanted, Gate& gate) const;
  [[nodiscard]] Result<ExaminedAdapter> read_folder(const Wanted& wanted, Gate& gate) const;
  // On a thread of loads_, or after a read was given up on the I/O thread: the name that was loaded.
  [[nodiscard]] Result<std::string> install(const Wanted& wanted, const Result<ExaminedAdapter>& adapter);
  // On the thread of unloads_: the name that was unloaded.
  [[nodiscard]] Result<std::string> unload_now(std::span<const SmallField> fields, std::string_view body);
  // On a thread of loads_ or pins_. Waits for a look at the folder and for the engine, for a while each.
  [[nodiscard]] Status pin_now(const std::string& name);
  // On a thread of unpins_. Waits for the engine alone.
  [[nodiscard]] Status unpin_now(const std::string& name);
  // On a thread of loads_.
  [[nodiscard]] Result<ExaminedAdapter> read_pushed(PushedAdapters::Push& push, std::string_view file, Gate& gate);
  [[nodiscard]] HttpResponse install_pushed(const std::string& name, PushedAdapters::Push& push, const Result<ExaminedAdapter>& adapter);
  // On the thread of pins_.
  [[nodiscard]] HttpResponse change_now(const std::string& name, std::string_view body);
  [[nodiscard]] Status set_idle_time(const std::string& name, std::optional<Timestamp> time);
  [[nodiscard]] Status check_name(const std::string& name, TakenName taken) const;
  [[nodiscard]] HttpResponse sglang_answer(const Result<std::string>& name) const;
  void look_at_loads();

  AdapterStore& store_;
  const AdapterApiOptions options_;
  const AnswerPool::Post post_;
  const PostAfter post_after_;
  PushedAdapters pushed_;
  AdapterLoads loads_;  // the work of those below uses it and the members above
  WorkPool bodies_;     // reads the bodies of loads
  AnswerPool unloads_, pins_, unpins_;
  AdapterScans scans_;
};

}  // namespace slora
