#include "http/adapter_routes.h"

#include <algorithm>
#include <array>
#include <future>
#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/adapter_roots.h"
#include "api/api_error.h"
#include "base/caught.h"
#include "base/log.h"
#include "http/query.h"
#include "http/responses.h"

namespace slora {
namespace {

constexpr SmallField kName{"lora_name", FieldForm::text, FieldNeed::needed,
                           "The adapter's name, as requests give it in their model field."};
constexpr SmallField kPath{"lora_path", FieldForm::text, FieldNeed::needed,
                           "A PEFT folder below one of the server's --adapters folders, relative to it or absolute; or an address that a "
                           "--adapter-source has, such as s3://adapters/sql or hf://org/name."};
constexpr SmallField kPinned{"pinned", FieldForm::flag, FieldNeed::optional,
                             "Load the adapter into the pool now and keep it there until it is unpinned or unloaded."};
constexpr SmallField kPin{"pin", FieldForm::flag, FieldNeed::optional, "The same as pinned."};
constexpr SmallField kIdleSeconds{"ttl_seconds", FieldForm::integer, FieldNeed::optional,
                                  "Seconds without requests after which the adapter leaves the pool, instead of --adapter-idle-time; 0: it "
                                  "stays until its memory is needed."};
constexpr SmallField kRevision{"revision", FieldForm::text, FieldNeed::optional, "Of an address: which revision of it; main when absent."};
constexpr SmallField kContent{"sha256", FieldForm::text, FieldNeed::optional,
                              "The SHA-256 of config and tensors that the adapter must have, as 64 hexadecimal digits."};
constexpr std::array kLoadFields = {
    kName,
    kPath,
    kPinned,
    kPin,
    kIdleSeconds,
    kRevision,
    kContent,
    SmallField{"load_inplace", FieldForm::flag, FieldNeed::optional, "Replace the adapter that has this name, if there is one."}};
constexpr std::array kUnloadFields = {kName, SmallField{"lora_int_id", FieldForm::integer, FieldNeed::optional, "Ignored."}};
constexpr std::array kSglangLoadFields = {kName, kPath, kPinned, SmallField{"lora_id", FieldForm::text, FieldNeed::optional, "Ignored."}};
constexpr std::array kSglangUnloadFields = {kName, SmallField{"lora_id", FieldForm::text, FieldNeed::optional, "Ignored."}};

constexpr std::size_t kBodiesMax = 256;  // that wait to be read
constexpr std::chrono::milliseconds kLookInterval(100);
constexpr std::array kPinFields = {kName};
constexpr std::array kChangeFields = {
    SmallField{"pin", FieldForm::flag, FieldNeed::optional, "Load the adapter into the pool now and keep it there, or let it go."},
    kIdleSeconds};
constexpr std::int64_t kIdleSecondsMax = 1 << 24;  // as of --adapter-idle-time
constexpr std::chrono::seconds kEngineWait(10);
constexpr std::uint64_t kAddressLane = 1;  // of loads that wait for programs

// Starts something whose outcome the engine's thread reports, and waits for that.
Status wait_for_engine(const std::function<void(std::function<void(Status)>)>& start) {
  const auto outcome = std::make_shared<std::promise<Status>>();
  std::future<Status> done = outcome->get_future();
  start([outcome](Status status) { outcome->set_value(std::move(status)); });
  if (done.wait_for(kEngineWait) != std::future_status::ready) return error("engine_stalled", "the engine does not answer");
  return done.get();
}

Result<std::optional<Timestamp>> read_idle_time(const Json& given) {
  const Json* seconds = find_member(given, kIdleSeconds.name);
  if (seconds == nullptr) return std::optional<Timestamp>();
  const std::int64_t count = seconds->is_number_unsigned() && *seconds > kIdleSecondsMax ? -1 : seconds->get<std::int64_t>();
  if (count < 0 || count > kIdleSecondsMax) {
    return expected_at(std::string(kIdleSeconds.name), fmt::format("an integer from 0 to {}", kIdleSecondsMax), *seconds);
  }
  return std::optional<Timestamp>(std::chrono::seconds(count));
}

tl::unexpected<Error> refuse(const Error& why, std::string param) {
  return tl::unexpected(Error{why.code, fmt::format("{}: {}", param, why.message), param});
}

}  // namespace

AdapterRoutes::AdapterRoutes(AdapterStore& store, AdapterApiOptions options, AnswerPool::Post post, PostAfter post_after)
    : store_(store),
      options_(std::move(options)),
      post_(std::move(post)),
      post_after_(std::move(post_after)),
      pushed_(options_.push_bytes_max),
      loads_(options_.loads),
      bodies_(1, kBodiesMax),
      unloads_(post_, 1),
      pins_(post_, 1),
      unpins_(post_, 1),
      scans_(store, options_.roots, options_.watch_interval, options_.folders, post_, post_after_) {
  look_at_loads();
}

void AdapterRoutes::load(const std::shared_ptr<Exchange>& exchange) {
  answer_load(exchange, kLoadFields, [](const Result<std::string>& name) {
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

void AdapterRoutes::pin(const std::shared_ptr<Exchange>& exchange) {
  pins_.answer_json(exchange, [this](std::string_view body) {
    const Result<Json> given = parse_small_body(kPinFields, body, 0);
    if (!given) return error_response(given.error());
    const auto name = given->at("lora_name").get<std::string>();
    if (Status pinned = pin_now(name); !pinned) return error_response(refuse(pinned.error(), "lora_name").value());
    return text_response(fmt::format("Success: LoRA adapter '{}' pinned successfully.", name));
  });
}

void AdapterRoutes::unpin(const std::shared_ptr<Exchange>& exchange) {
  unpins_.answer_json(exchange, [this](std::string_view body) {
    const Result<Json> given = parse_small_body(kPinFields, body, 0);
    if (!given) return error_response(given.error());
    const auto name = given->at("lora_name").get<std::string>();
    if (Status unpinned = unpin_now(name); !unpinned) return error_response(refuse(unpinned.error(), "lora_name").value());
    return text_response(fmt::format("Success: LoRA adapter '{}' unpinned successfully.", name));
  });
}

void AdapterRoutes::change(const std::shared_ptr<Exchange>& exchange) {
  const std::string name = percent_decoded(exchange->request().path_rest).value_or("");
  pins_.answer_json(exchange, [this, name](std::string_view body) { return change_now(name, body); });
}

void AdapterRoutes::load_as_sglang(const std::shared_ptr<Exchange>& exchange) {
  answer_load(exchange, kSglangLoadFields, [this](const Result<std::string>& name) { return sglang_answer(name); });
}

void AdapterRoutes::unload_as_sglang(const std::shared_ptr<Exchange>& exchange) {
  unloads_.answer_json(exchange, [this](std::string_view body) { return sglang_answer(unload_now(kSglangUnloadFields, body)); });
}

// Whoever ends the load, the thread that reads or the one that gives up, sets its outcome and lets the answer be made.
void AdapterRoutes::answer_load(const std::shared_ptr<Exchange>& exchange, std::span<const SmallField> fields, LoadAnswer answer) {
  const auto outcome = std::make_shared<Result<std::string>>(error("out_of_memory", "The server ran out of memory; try again later."));
  const auto run = [this](std::size_t, std::function<void()> job) { return bodies_.try_run(std::move(job)); };
  const auto begin = [this, fields, outcome](std::string_view body, const std::function<void(Status)>& go_on) {
    const Result<Wanted> wanted = read_wanted(fields, body);
    if (!wanted) {
      *outcome = tl::unexpected(wanted.error());
      return false;
    }
    const std::uint64_t lane = is_address(wanted->path) ? kAddressLane : lane_of_path(options_.roots, wanted->path, system_mounts());
    const auto read = [this, wanted = *wanted](Gate& gate) { return read_wanted_adapter(wanted, gate); };
    const auto done = [this, wanted = *wanted, outcome, go_on](const Result<ExaminedAdapter>& adapter) {
      *outcome = run_caught([&] { return install(wanted, adapter); });
      go_on({});
    };
    const Status started = loads_.start(lane, wanted->name, read, done);
    if (!started) *outcome = tl::unexpected(started.error());
    return started.has_value();
  };
  const auto work = [outcome, answer = std::move(answer)](std::string_view) { return answer(*outcome); };
  answer_json_elsewhere(exchange, post_, run, work, begin);
}

Result<AdapterRoutes::Wanted> AdapterRoutes::read_wanted(std::span<const SmallField> fields, std::string_view body) const {
  const Result<Json> given = parse_small_body(fields, body, 0);
  if (!given) return tl::unexpected(given.error());
  const TakenName taken = given->value("load_inplace", false) ? TakenName::replace : TakenName::refuse;
  const Result<std::optional<Timestamp>> idle_time = read_idle_time(*given);
  if (!idle_time) return tl::unexpected(idle_time.error());
  const bool is_pinned = given->value("pinned", false) || given->value("pin", false);
  Wanted wanted{given->at("lora_name").get<std::string>(),
                given->at("lora_path").get<std::string>(),
                taken,
                is_pinned,
                *idle_time,
                given->value("revision", ""),
                given->value("sha256", "")};
  if (!wanted.revision.empty() && (!is_revision(wanted.revision) || !is_address(wanted.path))) {
    return expected_at("revision", "a revision of the address in lora_path", given->at("revision"));
  }
  if (Status usable = check_name(wanted.name, taken); !usable) return refuse(usable.error(), "lora_name");
  return wanted;
}

Result<ExaminedAdapter> AdapterRoutes::read_wanted_adapter(const Wanted& wanted, Gate& gate) const {
  Result<ExaminedAdapter> adapter = is_address(wanted.path) ? read_address(wanted, gate) : read_folder(wanted, gate);
  if (!adapter || wanted.sha256.empty() || wanted.sha256 == hex(adapter->identity)) return adapter;
  return error("E_CONTENT", "expected an adapter with SHA-256 {}, found {}", quote(wanted.sha256), hex(adapter->identity));
}

Result<ExaminedAdapter> AdapterRoutes::read_address(const Wanted& wanted, Gate& gate) const {
  if (options_.sources == nullptr) {
    return error("not_permitted", "the server was started without --adapter-source and --hub-cache, so no address may be named");
  }
  SourceRequest request{.name = wanted.path};
  if (!wanted.revision.empty()) request.revision = wanted.revision;
  return options_.sources->get_and_keep(request, gate);
}

Result<ExaminedAdapter> AdapterRoutes::read_folder(const Wanted& wanted, Gate& gate) const {
  const Result<FolderPath> folder = find_adapter_folder(options_.roots, wanted.path, options_.folders);
  if (!folder) return tl::unexpected(folder.error());
  Result<ExaminedAdapter> adapter = store_.examine(*folder, options_.page_count_max, gate);
  if (!adapter) return adapter;
  if (Status texts = options_.check_texts(adapter->folder, adapter->traits.added_tokens, gate); !texts) return forward_error(texts);
  return adapter;
}

Result<std::string> AdapterRoutes::install(const Wanted& wanted, const Result<ExaminedAdapter>& adapter) {
  if (!adapter) return refuse(adapter.error(), "lora_path");
  if (Status installed = store_.install(wanted.name, *adapter, wanted.taken); !installed) return refuse(installed.error(), "lora_name");
  log_info("adapter \"{}\" was loaded from {}", wanted.name, adapter->folder.path);
  if (wanted.idle_time) {
    if (Status kept = set_idle_time(wanted.name, wanted.idle_time); !kept) return refuse(kept.error(), "ttl_seconds");
  }
  if (!wanted.is_pinned) return wanted.name;
  if (Status pinned = pin_now(wanted.name); !pinned) {
    return refuse({pinned.error().code, "it was loaded and is served, but not pinned: " + pinned.error().message, {}}, "pinned");
  }
  return wanted.name;
}

Result<std::string> AdapterRoutes::unload_now(std::span<const SmallField> fields, std::string_view body) {
  const Result<Json> given = parse_small_body(fields, body, 0);
  if (!given) return tl::unexpected(given.error());
  const auto name = given->at("lora_name").get<std::string>();
  const bool was_there = pushed_.forget(name, [&] { return store_.remove(name); });
  if (!was_there) return refuse({"not_found", fmt::format("there is no adapter {}", quote(name)), {}}, "lora_name");
  log_info("adapter \"{}\" was unloaded", name);
  return name;
}

Status AdapterRoutes::pin_now(const std::string& name) {
  if (AdapterStore::Found version = store_.resolve(name); !version) return forward_error(version);
  Status pinned = wait_for_engine([&](std::function<void(Status)> on_done) { options_.pin(name, std::move(on_done)); });
  if (pinned) log_info("adapter \"{}\" was pinned", name);
  return pinned;
}

Status AdapterRoutes::unpin_now(const std::string& name) {
  Status unpinned = wait_for_engine([&](std::function<void(Status)> on_done) { options_.unpin(name, std::move(on_done)); });
  if (unpinned) log_info("adapter \"{}\" was unpinned", name);
  return unpinned;
}

Status AdapterRoutes::set_idle_time(const std::string& name, std::optional<Timestamp> time) {
  if (!store_.set_idle_time(name, time)) return error("not_found", "there is no adapter {}", quote(name));
  return wait_for_engine([&](std::function<void(Status)> on_done) { options_.note_idle_time(name, std::move(on_done)); });
}

HttpResponse AdapterRoutes::change_now(const std::string& name, std::string_view body) {
  const Result<Json> given = parse_small_body(kChangeFields, body, 0);
  if (!given) return error_response(given.error());
  const Result<std::optional<Timestamp>> idle_time = read_idle_time(*given);
  if (!idle_time) return error_response(idle_time.error());
  if (given->empty()) return error_response({"invalid_request_error", R"(The body: expected "pin" or "ttl_seconds")", {}});
  if (!store_.find(name)) return error_response({"not_found", fmt::format("there is no adapter {}", quote(name)), "name"});
  if (*idle_time) {
    if (Status kept = set_idle_time(name, *idle_time); !kept) return error_response(refuse(kept.error(), "ttl_seconds").value());
  }
  if (const Json* pin = find_member(*given, "pin"); pin != nullptr) {
    Status changed = pin->get<bool>() ? pin_now(name) : unpin_now(name);
    if (!changed && changed.error().code == "not_pinned") changed = {};
    if (!changed) return error_response(refuse(changed.error(), "pin").value());
  }
  const std::optional<AdapterStanding> standing = store_.standing_of(name);
  if (!standing) return error_response({"not_found", fmt::format("there is no adapter {}", quote(name)), "name"});  // unloaded meanwhile
  const std::optional<Timestamp> kept = standing->account->idle_time();
  const Json answer = {{"name", name},
                       {"pinned", standing->is_pinned},
                       {"ttl_seconds", kept ? Json(static_cast<std::int64_t>(seconds(*kept))) : Json(nullptr)},
                       {"resident", standing->is_in_pool}};
  return json_response(answer.dump());
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

void AdapterRoutes::look_at_loads() {
  post_after_(kLookInterval, [this] { look_at_loads(); });  // first, for the rest may throw when memory runs out
  loads_.give_up_hanging();
}

std::span<const SmallField> AdapterRoutes::load_fields() { return kLoadFields; }
std::span<const SmallField> AdapterRoutes::unload_fields() { return kUnloadFields; }
std::span<const SmallField> AdapterRoutes::pin_fields() { return kPinFields; }
std::span<const SmallField> AdapterRoutes::change_fields() { return kChangeFields; }
std::span<const SmallField> AdapterRoutes::sglang_load_fields() { return kSglangLoadFields; }
std::span<const SmallField> AdapterRoutes::sglang_unload_fields() { return kSglangUnloadFields; }

}  // namespace slora
