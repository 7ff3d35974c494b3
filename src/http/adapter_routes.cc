#include "http/adapter_routes.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/adapter_roots.h"
#include "base/caught.h"
#include "base/log.h"
#include "http/responses.h"

namespace slora {
namespace {

constexpr SmallField kName{"lora_name", FieldForm::text, FieldNeed::needed,
                           "The adapter's name, as requests give it in their model field."};
constexpr SmallField kPath{"lora_path", FieldForm::text, FieldNeed::needed,
                           "A PEFT folder below one of the server's --adapters folders, relative to it or absolute."};
constexpr std::array kLoadFields = {
    kName, kPath,
    SmallField{"load_inplace", FieldForm::flag, FieldNeed::optional, "Replace the adapter that has this name, if there is one."}};
constexpr std::array kUnloadFields = {kName, SmallField{"lora_int_id", FieldForm::integer, FieldNeed::optional, "Ignored."}};
constexpr std::array kSglangLoadFields = {
    kName, kPath,
    SmallField{"pinned", FieldForm::flag, FieldNeed::optional,
               "Has no effect: adapters in use stay in memory, idle ones until their memory is needed."},
    SmallField{"lora_id", FieldForm::text, FieldNeed::optional, "Ignored."}};
constexpr std::array kSglangUnloadFields = {kName, SmallField{"lora_id", FieldForm::text, FieldNeed::optional, "Ignored."}};

constexpr std::size_t kLoadThreads = 4;

// Counts who is reading.
class ReadingScope {
 public:
  explicit ReadingScope(std::atomic<int>& count) : count_(count) { ++count_; }
  ~ReadingScope() { --count_; }
  ReadingScope(const ReadingScope&) = delete;
  ReadingScope& operator=(const ReadingScope&) = delete;

 private:
  std::atomic<int>& count_;
};

tl::unexpected<Error> refuse(const Error& why, std::string param) {
  return tl::unexpected(Error{why.code, fmt::format("{}: {}", param, why.message), param});
}

}  // namespace

AdapterRoutes::AdapterRoutes(AdapterStore& store, AdapterApiOptions options, AnswerPool::Post post, PostAfter post_after)
    : store_(store),
      options_(std::move(options)),
      post_after_(std::move(post_after)),
      watcher_(store, options_.roots),
      loads_(post, kLoadThreads),
      unloads_(post, 1),
      scans_(std::move(post), 1) {
  if (options_.watch_interval.count() > 0) post_after_(options_.watch_interval, [this] { watch(); });
}

void AdapterRoutes::load(const std::shared_ptr<Exchange>& exchange) {
  loads_.answer_json(exchange, [this](std::string_view body) {
    const Result<std::string> name = load_now(kLoadFields, body);
    if (!name) return error_response(name.error());
    return text_response(fmt::format("Success: LoRA adapter '{}' added successfully.", *name));
  });
}

void AdapterRoutes::unload(const std::shared_ptr<Exchange>& exchange) {
  unloads_.answer_json(exchange, [this](std::string_view body) {
    const Result<std::string> name = unload_now(kUnloadFields, body);
    if (!name) return error_response(name.error());
    return text_response(fmt::format("Success: LoRA adapter '{}' removed successfully.", *name));
  });
}

void AdapterRoutes::load_as_sglang(const std::shared_ptr<Exchange>& exchange) {
  loads_.answer_json(exchange, [this](std::string_view body) { return sglang_answer(load_now(kSglangLoadFields, body)); });
}

void AdapterRoutes::unload_as_sglang(const std::shared_ptr<Exchange>& exchange) {
  unloads_.answer_json(exchange, [this](std::string_view body) { return sglang_answer(unload_now(kSglangUnloadFields, body)); });
}

Result<std::string> AdapterRoutes::load_now(std::span<const SmallField> fields, std::string_view body) {
  const Result<Json> given = parse_small_body(fields, body, 0);
  if (!given) return tl::unexpected(given.error());
  const auto name = given->at("lora_name").get<std::string>();
  const TakenName taken = given->value("load_inplace", false) ? TakenName::replace : TakenName::refuse;
  if (Status usable = check_name(name, taken); !usable) return refuse(usable.error(), "lora_name");

  const ReadingScope reading(reading_count_);
  const Result<FolderPath> folder = find_adapter_folder(options_.roots, given->at("lora_path").get_ref<const std::string&>());
  if (!folder) return refuse(folder.error(), "lora_path");
  const Result<ExaminedAdapter> adapter = store_.examine(*folder, options_.page_count_max);
  if (!adapter) return refuse(adapter.error(), "lora_path");
  if (Status texts = options_.check_texts(adapter->folder); !texts) return refuse(texts.error(), "lora_path");
  if (Status installed = store_.install(name, *adapter, taken); !installed) return refuse(installed.error(), "lora_name");
  log_info("adapter \"{}\" was loaded from {}", name, folder->path);
  return name;
}

Result<std::string> AdapterRoutes::unload_now(std::span<const SmallField> fields, std::string_view body) {
  const Result<Json> given = parse_small_body(fields, body, 0);
  if (!given) return tl::unexpected(given.error());
  const auto name = given->at("lora_name").get<std::string>();
  if (!store_.remove(name)) return refuse({"not_found", fmt::format("there is no adapter {}", quote(name)), {}}, "lora_name");
  log_info("adapter \"{}\" was unloaded", name);
  return name;
}

// The checks that install() would make in the end, before any file is read.
Status AdapterRoutes::check_name(const std::string& name, TakenName taken) const {
  if (Status is_name = AdapterStore::check_name(name); !is_name) return is_name;
  if (std::ranges::find(options_.base_names, name) != options_.base_names.end()) {
    return error("name_taken", "{} is a name of the base model", quote(name));
  }
  if (taken == TakenName::refuse && store_.find(name)) {
    return error("name_taken", "there is an adapter {} already; \"load_inplace\": true lets the name mean the new one", quote(name));
  }
  return {};
}

// SGLang's clients read "success"; errors have the members of all other error bodies in addition.
HttpResponse AdapterRoutes::sglang_answer(const Result<std::string>& name) const {
  Json loaded = Json::object();
  for (const AdapterListing& adapter : store_.list()) {
    if (!adapter.refused) loaded[adapter.name] = adapter.folder;
  }
  HttpResponse response = name ? HttpResponse{} : error_response(name.error());
  Json body = name ? Json::object() : Json::parse(response.body);  // the error's members, then SGLang's own
  body["success"] = name.has_value();
  body["error_message"] = name ? Json(nullptr) : Json(name.error().message);
  body["loaded_adapters"] = std::move(loaded);
  response.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  return response;
}

void AdapterRoutes::watch() {
  const auto again = [this] { post_after_(options_.watch_interval, [this] { watch(); }); };
  const auto scan = [this] {
    const ReadingScope reading(reading_count_);
    watcher_.scan();
  };
  bool is_running = false;
  try {
    is_running = scans_.try_run(scan, again);
  } catch (...) {
    log_exception("the folders of adapters were not looked at");
  }
  if (!is_running) again();
}

std::span<const SmallField> AdapterRoutes::load_fields() { return kLoadFields; }
std::span<const SmallField> AdapterRoutes::unload_fields() { return kUnloadFields; }
std::span<const SmallField> AdapterRoutes::sglang_load_fields() { return kSglangLoadFields; }
std::span<const SmallField> AdapterRoutes::sglang_unload_fields() { return kSglangUnloadFields; }

}  // namespace slora
