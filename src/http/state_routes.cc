#include "http/state_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <span>
#include <string_view>
#include <utility>

#include "api/json_text.h"
#include "http/entity_tag.h"
#include "http/query.h"
#include "http/responses.h"

namespace slora {
namespace {

constexpr std::size_t kListedMax = 500;            // adapters in one answer
constexpr std::uint32_t kCellsMax = 4096;          // of the map
constexpr std::chrono::milliseconds kMapAge(250);  // that a map may have
constexpr std::chrono::seconds kLookTimeMax(1);

constexpr std::array<char, kPageUseCount> kUseLetters = {'f', 's', 'p', 'a'};  // by PageUse

std::int64_t unix_offset_ns() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<Timestamp>(since_epoch).count() - SteadyClock().now().count();
}

// A client sees the pages of all adapters that it may not name as those of one, without a number.
void hide_adapters(PageMap& map, std::span<const AdapterId> shown) {
  for (PageMap::Cell& cell : map.cells) {
    if (!std::ranges::binary_search(shown, cell.adapter)) cell.adapter = kNoAdapter;
  }
}

// "f12 a4:7 s3": runs of equal cells, each as a letter for what it is used for, a count, and the number of the adapter.
void append_runs(std::string& out, const PageMap& map) {
  for (auto begin = map.cells.begin(); begin != map.cells.end();) {
    const auto end = std::find_if(begin, map.cells.end(), [&](const PageMap::Cell& cell) { return cell != *begin; });
    if (begin != map.cells.begin()) out += ' ';
    fmt::format_to(std::back_inserter(out), "{}{}", kUseLetters[static_cast<std::size_t>(begin->use)], end - begin);
    if (begin->adapter != kNoAdapter) fmt::format_to(std::back_inserter(out), ":{}", begin->adapter.value);
    begin = end;
  }
}

std::string histogram_text(const Histogram& histogram) {
  return fmt::format(R"({{"upper_bounds":[{}],"counts":[{}]}})", fmt::join(histogram.upper_bounds(), ","),
                     fmt::join(histogram.counts(), ","));
}

std::string_view state_of(const AdapterListing& adapter, const AdapterStore& store) {
  if (adapter.refused) return "refused";
  if (adapter.version != nullptr && adapter.version->is_resident()) return "resident";
  if (adapter.version != nullptr && adapter.version->is_loading()) return "loading";
  if (adapter.version != nullptr && store.host_image(*adapter.version) != nullptr) return "on_host";
  return adapter.is_available ? "on_disk" : "unavailable";
}

void append_adapter(std::string& out, const AdapterListing& adapter, const AdapterStore& store, std::size_t page_bytes,
                    std::int64_t unix_offset_ns) {
  out += R"({"name":)";
  append_json_string(out, adapter.name);
  fmt::format_to(std::back_inserter(out), R"(,"state":"{}","rank":{},"reason":)", state_of(adapter, store), adapter.rank);
  if (adapter.refused) {
    append_json_string(out, adapter.refused->message);
  } else {
    out += "null";
  }
  if (adapter.version == nullptr) {
    out += R"(,"number":null,"pages":null,"bytes":null,"is_pinned":false,"requests":0,"hits":0,"last_use":null})";
    return;
  }
  const AdapterVersion& version = *adapter.version;
  const AdapterFigures figures = version.account().figures();
  const Timestamp used_at = version.account().used_at();
  constexpr std::int64_t ns_per_second = 1'000'000'000;
  const std::string last_use = used_at == Timestamp(0) ? "null" : fmt::to_string((used_at.count() + unix_offset_ns) / ns_per_second);
  fmt::format_to(std::back_inserter(out), R"(,"number":{},"pages":{},"bytes":{},"is_pinned":{},"requests":{},"hits":{},"last_use":{}}})",
                 version.id().value, version.pages_in_all(), version.pages_in_all() * page_bytes, version.is_pinned(),
                 figures[AdapterFigure::requests], figures[AdapterFigure::hits], last_use);
}

}  // namespace

StateRoutes::StateRoutes(Fixed fixed, Runtime& runtime, const RequestMetrics& requests, PostToIo post, PostAfter post_after)
    : fixed_(std::move(fixed)),
      runtime_(runtime),
      requests_(requests),
      post_(std::move(post)),
      post_after_(std::move(post_after)),
      unix_offset_ns_(unix_offset_ns()),
      texts_(post_, 1) {}

void StateRoutes::state(const std::shared_ptr<Exchange>& exchange) {
  const bool is_fresh = map_ != nullptr && std::chrono::steady_clock::now() - looked_at_ < kMapAge;
  if (is_fresh || is_overdue_) return answer(exchange);
  waiting_.push_back(exchange);
  if (!is_looking_) start_look();
}

// One look at a time, however long it takes: while the engine hangs, its inbox must not fill.
void StateRoutes::start_look() {
  const auto map = std::make_shared<PageMap>(make_page_map(kCellsMax));  // shared by the engine's thread and then this one
  std::function<void()> back = [this, map] { end_look(map->cells.empty() ? nullptr : map); };
  runtime_.engine().look_at_pages([post = post_, map = map.get(), back = std::move(back)](const PagePool* pool) mutable {
    if (pool != nullptr) draw_pages(*map, *pool);
    post(std::move(back));
  });
  is_looking_ = true;
  post_after_(kLookTimeMax, [this, look = ++looks_begun_] {
    if (!is_looking_ || look != looks_begun_) return;
    is_overdue_ = true;
    answer_waiting();
  });
}

void StateRoutes::end_look(std::shared_ptr<const PageMap> map) {
  is_looking_ = is_overdue_ = false;
  looked_at_ = std::chrono::steady_clock::now();
  if (map != nullptr) map_ = std::move(map);
  answer_waiting();
}

void StateRoutes::answer_waiting() {
  for (const std::shared_ptr<Exchange>& exchange : std::exchange(waiting_, {})) answer(exchange);
}

void StateRoutes::answer(const std::shared_ptr<Exchange>& exchange) {
  const HttpRequest& request = exchange->request();
  Result<std::string> after = query_value(request.query, "after"), filter = query_value(request.query, "filter");
  if (!after) return exchange->respond(error_response(after.error()));
  if (!filter) return exchange->respond(error_response(filter.error()));
  Wanted wanted{*std::move(after), *std::move(filter), request.if_none_match, request.access};
  texts_.answer(exchange, [this, wanted = std::move(wanted), map = map_](std::string_view) { return respond(wanted, map.get()); });
}

HttpResponse StateRoutes::respond(const Wanted& wanted, const PageMap* map) const {
  const EngineStats engine = runtime_.engine().stats();
  const SchedulerStats& stats = engine.scheduler;
  const RequestMetrics::Totals totals = requests_.totals();
  const RequestMetrics::Latencies latencies = requests_.latencies();
  const SchedulerOptions& scheduler = runtime_.engine().options().scheduler;
  const std::size_t page_bytes = runtime_.adapters().base().page_bytes * static_cast<std::size_t>(runtime_.shard_count());

  std::string out = R"({"version":")" SLORA_VERSION R"(","model":{"name":)";
  append_json_string(out, fixed_.model_name);
  fmt::format_to(std::back_inserter(out), R"(,"context_tokens_max":{},"serves_chats":{}}},)", runtime_.max_model_len(),
                 fixed_.serves_chats);
  fmt::format_to(std::back_inserter(out), R"("requests":{{"running":{},"waiting":{},"served":{},"preempted":{}}},)", stats.running,
                 stats.waiting + stats.loading, totals.served, stats.preemptions);
  fmt::format_to(std::back_inserter(out), R"("tokens":{{"prompt":{},"output":{},"prefix_queried":{},"prefix_hit":{}}},)",
                 totals.prompt_tokens, totals.output_tokens, stats.prefix_query_tokens, stats.prefix_hit_tokens);
  fmt::format_to(std::back_inserter(out), R"("time_to_first_token_seconds":{},"inter_token_seconds":{},"queue_seconds":{},)",
                 histogram_text(latencies.time_to_first_token), histogram_text(latencies.inter_token),
                 histogram_text(latencies.queue_time));
  fmt::format_to(
      std::back_inserter(out),
      R"("pool":{{"page_bytes":{},"page_tokens":{},"pages":{{"free":{},"sequence":{},"prefix":{},"adapter":{}}},"evictable":{},"map":)",
      page_bytes, scheduler.page_tokens, stats.pages_free, stats.pages_sequence, stats.pages_prefix, stats.pages_adapter,
      stats.pages_evictable);
  if (map == nullptr) {
    out += "null},";
  } else {
    fmt::format_to(std::back_inserter(out), R"({{"pages_per_cell":{},"runs":")", map->pages_per_cell);
    append_map(out, *map, *wanted.access);
    out += "\"}},";
  }
  out += adapters_text(wanted);
  out += '}';
  const std::string tag = fmt::format("\"{:x}\"", std::hash<std::string>{}(out));
  return with_entity_tag(json_response(std::move(out)), tag, wanted.if_none_match);
}

void StateRoutes::append_map(std::string& out, const PageMap& map, const ModelAccess& access) const {
  if (access.allows_all()) return append_runs(out, map);
  PageMap shown = map;
  const auto is_allowed = [&](const std::string& name) { return access.allows(name); };
  hide_adapters(shown, runtime_.adapters().version_ids(is_allowed));
  append_runs(out, shown);
}

std::string StateRoutes::adapters_text(const Wanted& wanted) const {
  const AdapterStore& store = runtime_.adapters();
  const EngineStats engine = runtime_.engine().stats();
  const AdapterCounts counts = store.counts();
  const std::size_t page_bytes = store.base().page_bytes * static_cast<std::size_t>(runtime_.shard_count());
  const auto is_wanted = [&](const std::string& name) {
    return wanted.access->allows(name) && name.find(wanted.filter) != std::string::npos;
  };
  std::vector<AdapterListing> listed = store.list_after(wanted.after, kListedMax + 1, is_wanted);
  const bool has_more = listed.size() > kListedMax;
  if (has_more) listed.pop_back();

  std::string out =
      fmt::format(R"("adapters":{{"registered":{},"refused":{},"resident":{},"loading":{},"pinned":{},"loads":{},"evictions":{},"list":[)",
                  counts.registered, counts.refused, engine.adapters_resident, engine.adapters_loading, engine.scheduler.adapters_pinned,
                  engine.scheduler.adapter_loads, engine.scheduler.adapter_evictions);
  for (const AdapterListing& adapter : listed) {
    if (&adapter != &listed.front()) out += ',';
    append_adapter(out, adapter, store, page_bytes, unix_offset_ns_);
  }
  out += R"(],"next":)";
  if (has_more) {
    append_json_string(out, listed.back().name);
  } else {
    out += "null";
  }
  return out + '}';
}

}  // namespace slora
